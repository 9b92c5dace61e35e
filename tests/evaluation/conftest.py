"""The pipeline on one of the eight test devices and without pages; tests that want them ask for the fixtures below."""

import jax
import pytest

from jaxpr import report
from jaxpr.evaluation import devices, stream


@pytest.fixture(autouse=True)
def one_device(request, monkeypatch):
    """Compiling for eight devices takes far longer, and one device is what most users have."""
    if "eight_devices" not in request.fixturenames:
        for module in (devices, stream):
            monkeypatch.setattr(module, "local_devices", lambda: jax.local_devices()[:1])


@pytest.fixture(autouse=True)
def no_pages(request, monkeypatch):
    """Drawing takes longer than computing what is drawn, and `tests/report` is about pages."""

    def write_nothing(record, strips=(), *, out, decisions=None):
        (out / "report.html").write_text("not drawn")

    if "pages" not in request.fixturenames:
        monkeypatch.setattr(report, "write_report", write_nothing)


@pytest.fixture
def eight_devices():
    assert len(jax.local_devices()) == 8


@pytest.fixture
def pages():
    """Real ones."""
