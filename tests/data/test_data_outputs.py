"""Which file of a folder of outputs belongs to which image and draw: rules, draws, what is refused."""

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data.outputs import output_folder


def written(folder, names):
    """Tiny images whose grey level is their place in `names`."""
    for level, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3, 3), level, np.uint8)).save(path)
    return folder


def places(found) -> list[list[int]]:
    """For each draw the places in the written names of what belongs to the images."""
    return [[round(255 * float(image.max())) for image in draw] for draw in found.draws]


RULES = {
    "equal names": (["a.png", "b.png"], ["a.png", "b.png"], "{}", [[0, 1]]),
    "other formats": (["b.bmp", "a.png"], ["a.jpg", "b.jpg"], "{}", [[1, 0]]),
    "images without extension": (["astronaut.png", "coffee.png"], ["coffee", "astronaut"], "{}", [[1, 0]]),
    "scale": (["0801x4.png", "0802x4.png"], ["0801.png", "0802.png"], "{}x4", [[0, 1]]),
    "scale and word": (["0801x4_out.png", "0802x4_out.png"], ["0801.png", "0802.png"], "{}x4_out", [[0, 1]]),
    "in front": (["sr-a.png", "sr-b.png"], ["a.png", "b.png"], "sr-{}", [[0, 1]]),
    "end of all images": (["1_SR.png", "2_SR.png"], ["1_HR.png", "2_HR.png"], "{}_SR", [[0, 1]]),
    "numbers in numbers": (["im_1.png", "im_10.png", "im_2.png"], ["1", "10", "2"], "im_{}", [[0, 1, 2]]),
    "folders of images": (["s/a/1.png", "s/b/1.png"], ["a/1.png", "b/1.png"], "s/{}", [[0, 1]]),
    "images' folders left out": (["x1.png", "x2.png"], ["a/x1.png", "b/x2.png"], "{}", [[0, 1]]),
    "draws": (
        ["a_0.png", "a_1.png", "a_10.png", "b_0.png", "b_1.png", "b_10.png"],
        ["a.png", "b.png"],
        "{}_#",
        [[0, 3], [1, 4], [2, 5]],
    ),
    "draws of one image": (["a-s1.png", "a-s0.png"], ["a"], "{}-s#", [[1], [0]]),
    "draws in folders": (
        ["seed10/a.png", "seed10/b.png", "seed9/a.png", "seed9/b.png"],
        ["a.png", "b.png"],
        "#/{}",
        [[2, 3], [0, 1]],
    ),
}


@pytest.mark.parametrize(("files", "images", "rule", "expected"), RULES.values(), ids=RULES)
def test_rules(tmp_path, files, images, rule, expected):
    found = output_folder("restorers", written(tmp_path, files), images)
    assert (found.rule, places(found), found.left_out) == (rule, expected, ())


def test_files_of_no_image_are_told(tmp_path):
    found = output_folder("restorers", written(tmp_path, ["a.png", "b.png", "grid.png"]), ["a.png"])
    assert places(found) == [[0]]
    assert found.left_out == ("b.png", "grid.png")


BAD = {
    "missing": (["a.png"], ["a.png", "b.png", "c.png"], "found no file for b.png, c.png of 3 images (by the rule {})"),
    "missing by a rule": (
        ["a_x.png", "b_x.png"],
        ["a", "b", "c"],
        "found no file for c of 3 images (by the rule {}_x)",
    ),
    "others": (["q.png"], ["a", "b"], "found no file for a, b of 2 images"),
    "two methods": (
        ["a_x.png", "b_x.png", "a_y.png", "b_y.png"],
        ["a", "b"],
        "found several files for each image ({}_x",
    ),
    "one draw more": (
        ["a.png", "b.png", "a_1.png", "b_1.png"],
        ["a", "b"],
        "found several files for each image ({}, {}_1)",
    ),
    "draws of some": (["a_0.png", "a_1.png", "b_0.png"], ["a", "b"], None),
    "twins": (["a.png", "a.bmp"], ["a"], "found two files called a in"),
}


@pytest.mark.parametrize(("files", "images", "message"), BAD.values(), ids=BAD)
def test_files_that_do_not_fit(tmp_path, files, images, message):
    folder = written(tmp_path, files)
    if message is None:  # one draw that all have, and a file that belongs to none
        assert output_folder("restorers", folder, images).left_out == ("a_1.png",)
        return
    with pytest.raises(InputError) as caught:
        output_folder("restorers", folder, images)
    assert str(caught.value).startswith("restorers: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
