"""The table and the picture of a run."""

import csv
import io

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.training.log import history_csv, sample_picture


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_lines_are_means_over_their_steps():
    history = {"loss": np.arange(7.0), "robustness": np.array([0, 0, 3.0, 0, 0, 6.0, 0])}
    lines = read(history_csv(history, every=3, sparse={"robustness": 3}))
    assert [line["step"] for line in lines] == ["3", "6", "7"]
    assert [float(line["loss"]) for line in lines] == [1, 4, 6]
    assert [line["robustness"] for line in lines] == ["3", "6", ""]  # of the steps that had it
    lines = read(history_csv(history, every=6, sparse={"robustness": 3}))
    assert float(lines[0]["robustness"]) == 4.5
    assert history_csv({"loss": np.zeros(0)}, every=3, sparse={}) == "step,loss\n"
    with pytest.raises(InputError, match="every: found 0"):
        history_csv(history, every=0, sparse={})


def test_pictures_enlarge_small_images_and_clip():
    rows = [np.zeros((3, 8, 8, 1)), np.full((3, 8, 8, 1), 1.7)]
    picture = np.asarray(sample_picture(rows))
    assert picture.shape == (2 * 50, 3 * 50, 3)
    assert (picture[2:50, 2:50] == 0).all()  # the first measurement, eight pixels by six each
    assert (picture[52:100, 52:100] == 255).all()
    colour = np.zeros((2, 64, 64, 3), np.float32)
    colour[0, 10, 20, 1] = 1.0
    picture = np.asarray(sample_picture([colour]))
    assert picture.shape == (66, 132, 3)
    assert picture[2 + 10, 2 + 20].tolist() == [0, 255, 0]
    with pytest.raises(InputError, match="rows: found shapes"):
        sample_picture([rows[0], colour])
    with pytest.raises(InputError, match="rows: found shapes"):
        sample_picture([])
