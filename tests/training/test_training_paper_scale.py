"""`jaxpr train --scale paper --steps 2` on small data of the structure of the papers', and that it goes on exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.train import Train
from jaxpr.training import drive, load_recipes, task_of, tasks
from jaxpr.weights.native import unpack_restorer


def pictures(folder: Path, *shapes: tuple[int, int]) -> None:
    folder.mkdir(parents=True)
    for number, shape in enumerate(shapes):
        pixels = np.random.default_rng(number).integers(0, 256, (*shape, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")


def train(name: str, out: Path, *, config: str, steps: int, every: int = 500) -> bytes:
    options = {"config": config, "scale": "paper", "only": (name,), "progress": False}
    Train(**options, out=out, steps=steps, checkpoint_every=every).run()
    return (out / name / "weights.safetensors").read_bytes()


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_faces_of_celeba_in_tfds_go_on_exactly(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    name = "digits-average-x16-deterministic-l1-0"
    with tfds.testing.mock_data(num_examples=3):
        whole = train(name, tmp_path / "whole", config="digits", steps=3, every=1)
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "sample_picture", stopped)
            with pytest.raises(KeyboardInterrupt):
                train(name, tmp_path / "cut", config="digits", steps=3, every=1)
        assert list((tmp_path / "cut" / name / "checkpoints").iterdir())
        assert train(name, tmp_path / "cut", config="digits", steps=3, every=1) == whole


@pytest.mark.slow
def test_photographs_of_div2k(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(Path("data/DIV2K_train_HR"), (140, 150), (200, 130))
    packed = unpack_restorer(train("photos-l1", tmp_path / "out", config="photographs", steps=1))
    assert packed.config.network.num_block == 23


@pytest.mark.slow
def test_faces_of_ffhq(tmp_path, monkeypatch):
    """One image of 512×512 a step in place of 16, which take more memory than a test should."""
    monkeypatch.chdir(tmp_path)
    pictures(Path("data/ffhq512"), (512, 512), (600, 512))
    (recipe,) = load_recipes("faces", "paper").values()
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, steps=1, batch=1))
    drive(task_of(recipe), tmp_path / "out", command="", progress=False)
    assert (tmp_path / "out" / "faces-l1" / "samples" / "step-0000001.png").exists()
