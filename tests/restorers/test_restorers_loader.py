"""The example of docs/restorers.md: a network of a PyTorch loader library, with drawn weights, as a restorer."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpr.core import load_python

DOCS = Path(__file__).parents[2] / "docs" / "restorers.md"


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_a_loader_s_network_is_a_restorer(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("spandrel")
    extra = pytest.importorskip("spandrel_extra_arches")
    network = __import__(f"{extra.__name__}.architectures.FeMaSR", fromlist=["FeMaSR"]).FeMaSR
    torch.manual_seed(0)
    sizes = {"codebook_params": [[32, 1024, 512]], "gt_resolution": 256, "LQ_stage": True, "scale_factor": 4}
    drawn = network(in_channel=3, norm_type="gn", act_type="silu", use_quantize=True, use_residual=True, **sizes)
    torch.save(drawn.state_dict(), tmp_path / "FeMaSR_SRX4_model_g.pth")
    code = re.search(r"```python\n(# femasr\.py\n.*?)```", DOCS.read_text(), re.DOTALL)[1]
    (tmp_path / "femasr.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    femasr = load_python("restorers", "femasr.py", module="femasr_of_docs").femasr
    y = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    found = jax.jit(femasr)(y)
    with torch.no_grad():
        expected = drawn.eval()(torch.from_numpy(y.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    # The same program: torch sums otherwise where channels lie last in memory, through some hundred layers.
    np.testing.assert_allclose(found, expected, atol=1e-4)
