"""Maps of amplification: energies by frequency against Parseval and pure waves, what is drawn, what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.report import Answer, Strip, figure_maps
from jaxpr.report.maps import attacked_names, band_powers
from jaxpr.report.style import png_bytes

DRAW = np.random.default_rng(0)


def strip(names, *, factor=4, side=32, y_adv=True):
    x = DRAW.uniform(size=(side, side, 3))
    y = x[::factor, ::factor]
    moved = y + DRAW.choice([-1, 1], y.shape) / 255
    # Every pixel repeated: K is the factor, and no frequency of y is amplified more.
    larger = [np.repeat(np.repeat(image, factor, 0), factor, 1) for image in (y, moved)]
    return Strip("sample", x, y, {name: Answer(*larger, moved if y_adv else None) for name in names})


def lines(figure, kind):
    return {line.get_gid(): np.asarray(line.get_ydata()) for ax in figure.axes for line in ax.lines
            if str(line.get_gid()).startswith(kind)}  # fmt: skip


@pytest.mark.parametrize("shape", [(16, 16, 3), (15, 8, 1), (1, 7, 2), (1, 1, 1)])
def test_energies_of_all_bands_are_the_sum_of_squares(shape):
    change = DRAW.normal(size=shape)
    found = band_powers(change, bands=4)
    assert found.shape == (5,)
    assert found.sum() == pytest.approx((change**2).sum())


@pytest.mark.parametrize(("cycles", "band"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (9, 4), (16, 7)])
def test_a_wave_is_in_the_band_of_its_frequency(cycles, band):
    wave = np.cos(2 * np.pi * cycles * np.arange(32) / 32)
    for change in (np.tile(wave[:, None, None], (1, 8, 1)), np.tile(wave[None, :, None], (8, 1, 1))):
        found = band_powers(change, bands=8)
        assert found[band] == pytest.approx((change**2).sum())


def test_corners_of_the_spectrum_are_beyond_the_bands():
    board = (-1.0) ** np.add.outer(np.arange(8), np.arange(8))[..., None]
    found = band_powers(board, bands=3)
    assert found[-1] == pytest.approx(64)
    assert found[:-1] == pytest.approx(0)


def test_squares_of_parts_add_up_to_the_ratio_that_is_written():
    figure = figure_maps(strip(["repeated"]), ["repeated"])
    words = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert {"repeated", "K 4"} <= words
    (parts,) = lines(figure, "whole:").values()
    assert np.sqrt((parts**2).sum()) == pytest.approx(4)
    (within,) = lines(figure, "within:").values()
    # A pixel that is repeated has the transfer function of its square: the factor at frequency zero, less above.
    assert 3.8 < within[0] <= 4
    assert (within <= 4 + 1e-9).all()
    assert within[-1] < 3.5


def test_maps_share_one_scale_and_show_grey_levels():
    sample = strip(["a", "b"])
    restored, _, y_adv = sample.outputs["a"]
    louder = Answer(restored, restored + 10 / 255, y_adv)
    figure = figure_maps(sample._replace(outputs={"a": sample.outputs["a"], "b": louder}), ["a", "b"])
    maps = {ax.get_gid(): ax.images[0] for ax in figure.axes if str(ax.get_gid()).startswith("map:")}
    np.testing.assert_allclose(maps["map:a"].get_array(), 1, rtol=1e-6)
    np.testing.assert_allclose(maps["map:b"].get_array(), 10, rtol=1e-6)
    assert maps["map:a"].norm is maps["map:b"].norm
    assert maps["map:a"].norm.vmax == pytest.approx(10)
    scale = next(ax for ax in figure.axes if ax.get_gid() == "scale")
    assert "grey levels" in scale.get_ylabel()


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, 2, 13])
@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (8, 40)])
def test_figures_of_any_shape_keep_inside(count, shape):
    names = [f"m{i}" for i in range(count)]
    x = DRAW.uniform(size=(*shape, 1))
    answer = Answer(x, 0.9 * x, 0.9 * x[::2, ::2])
    figure = figure_maps(Strip("s", x, x[::2, ::2], dict.fromkeys(names, answer)), names)
    width, height = figure.bbox.size
    png_bytes(figure)
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


def test_what_was_not_kept_or_did_not_change_is_said_or_left_out():
    unkept = figure_maps(strip(["a"], y_adv=False), ["a"])
    assert not lines(unkept, "whole:")
    assert sum("no attacked input was kept" in text.get_text() for ax in unkept.axes for text in ax.texts) == 2
    sample = strip(["a"])
    restored, attacked, y_adv = sample.outputs["a"]
    broken = attacked.copy()
    broken[0, 0, 0] = np.nan
    for answer in (Answer(restored, restored, y_adv), Answer(restored, restored, sample.y), Answer(restored, broken)):
        image = Image.open(io.BytesIO(png_bytes(figure_maps(sample._replace(outputs={"a": answer}), ["a"]))))
        assert image.size[0] == 1680
    assert attacked_names(sample._replace(outputs={"a": Answer(restored)}), ["a", "b"]) == []
    with pytest.raises(InputError, match="names: found"):
        figure_maps(sample, ["b"])
