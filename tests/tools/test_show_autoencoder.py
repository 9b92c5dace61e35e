"""What the tool says of an autoencoder, computed again; a picture; other files refused."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError, load_python
from jaxpr.models.autoencoder_kl import AutoencoderKLConfig, autoencoder_kl
from jaxpr.models.naming import torch_shapes
from jaxpr.weights.autoencoders import pack_autoencoder
from jaxpr.weights.torch_files import write_checkpoint

tool = load_python("tool", Path(__file__).parents[2] / "tools" / "show_autoencoder.py", module="jaxpr_tools")
SIZES = AutoencoderKLConfig(3, 3, (2, 4), 1, 2, 1)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::jaxpr.metrics.frechet.SmallSampleWarning")
def test_numbers_and_picture(tmp_path, monkeypatch, capsys):
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (97, 96 + number, 3), np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    network, path = autoencoder_kl(SIZES), tmp_path / "weights.safetensors"
    params = jax.jit(network.model.init)(jax.random.key(0))
    path.write_bytes(pack_autoencoder(SIZES, params, {"recipe": {"name": "tiny"}}))
    arguments = [str(path), "--out", str(tmp_path / "out"), "--data", str(tmp_path / "images")]
    monkeypatch.setattr("sys.argv", ["show_autoencoder.py", *arguments])
    tool.main()
    assert capsys.readouterr().out.splitlines()[1].startswith("tiny ")
    (record,) = json.loads((tmp_path / "out" / "autoencoders.json").read_text())["autoencoders"]
    x = np.asarray(Image.open(tmp_path / "images" / "0.png"))[None, :96] / np.float32(255)
    restored = np.clip((np.float64(network.model.apply(params, 2 * x - 1)) + 1) / 2, 0, 1)
    expected = -10 * np.log10(np.mean((restored - x) ** 2))
    np.testing.assert_allclose(record["images"][0]["psnr"], expected, rtol=1e-4)
    np.testing.assert_allclose(record["psnr"], np.mean([image["psnr"] for image in record["images"]]))
    assert (record["factor"], record["patches"]) == (2, 8)  # two by two of each
    assert record["fd_alexnet"] > 0
    with Image.open(tmp_path / "out" / "autoencoders.png") as picture:
        assert picture.size == (2 * (96 + tool.GAP), 2 * (96 + tool.GAP))


@pytest.mark.thorough
def test_published_files_are_read_and_others_refused(tmp_path):
    shapes = torch_shapes(jax.eval_shape(autoencoder_kl(SIZES).model.init, jax.random.key(0)))
    path = tmp_path / "published.safetensors"
    write_checkpoint(path, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, {})
    found = tool.read(str(path))
    # Groups cannot be seen in a file.
    assert (found.name, found.config._replace(norm_num_groups=1)) == ("published", SIZES)
    (tmp_path / "other").write_bytes(b"nothing")
    with pytest.raises(InputError, match="other"):
        tool.read(str(tmp_path / "other"))
