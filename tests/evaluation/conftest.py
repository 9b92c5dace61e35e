"""The pipeline runs on one of the eight test devices; tests that want all of them ask for `eight_devices`."""

import jax
import pytest

from jaxpr.evaluation import devices, stream


@pytest.fixture(autouse=True)
def one_device(request, monkeypatch):
    """Compiling for eight devices takes far longer, and one device is what most users have."""
    if "eight_devices" not in request.fixturenames:
        for module in (devices, stream):
            monkeypatch.setattr(module, "local_devices", lambda: jax.local_devices()[:1])


@pytest.fixture
def eight_devices():
    assert len(jax.local_devices()) == 8
