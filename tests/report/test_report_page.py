import base64
import html
import io
import os
import re
import stat

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.report import Answer, Strip, figure_strip, write_report
from jaxpr.report.strips import DIFFERENCE_GAIN
from jaxpr.report.style import png_bytes
from jaxpr.report.words import summary

NASTY = "<script>alert(\"x\")</script> & 'co'"


def cell(value, stderr=0.1, **more):
    return {"value": value, "stderr": stderr, **more}


def entry(name, shift=0.0):
    return {
        "name": name,
        "metrics": {
            "rmse": cell(0.1 + shift / 100, 0.01),
            "psnr": cell(20.0 + shift, 0.3),
            "lr_psnr": cell(40.0 + shift),
            "fd_pixels": cell(30.0 + shift),
            "joint_fd_pixels": cell(40.0 + 2 * shift),
            "lipschitz_mean": cell(4.0 - shift / 10),
            "adversarial_output_psnr": cell(40.0 + shift),
            "adversarial_input_psnr": cell(48.2),
        },
    }


def record(*names):
    return {
        "protocol": {
            "images": 3,
            "degradation": "AverageDownsample",
            "alpha": 1 / 255,
            "attack_steps": 10,
            "noise": None,
        },
        "provenance": {"versions": {"jax": "0.10.2", "odd": NASTY}, "devices": ["cpu:0", "cpu:1"], "seconds": {}},
        "restorers": [entry(name, shift) for shift, name in enumerate(names)],
    }


def strip(names, *, size=8, channels=3, name="sample"):
    draw = np.random.default_rng(0)
    x = draw.uniform(size=(size, size, channels))
    y = x.reshape(size // 2, 2, size // 2, 2, channels).mean((1, 3)) if size > 1 else x
    return Strip(name, x, y, {n: Answer(x * 0.9, x * 0.8, y * 0.99) for n in names})


def drawn(figure, gid):
    """The picture shown in the axes with this gid, as drawn: 8-bit."""
    return next(ax for ax in figure.axes if ax.get_gid() == gid).images[0].get_array()


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))


@pytest.mark.thorough
def test_report_writes_valid_files_and_nothing_else(tmp_path):
    names = ["a", "b", "c"]
    page = write_report(record(*names), [strip(names), strip(["a"], name="../b c")], out=tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["figures", "report.html"]
    figures = sorted(path.name for path in (page.parent / "figures").iterdir())
    assert figures == [
        "consistency.png",
        "distortion_perception.png",
        "maps_00_sample.png",
        "maps_01_b-c.png",
        "robustness.png",
        "strips_00_sample.png",
        "strips_01_b-c.png",
        "tradeoff.png",
    ]
    text = page.read_text("utf-8")
    embedded = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]*)"', text)]
    assert len(embedded) == len(figures)
    for name in figures:
        data = (page.parent / "figures" / name).read_bytes()
        assert data in embedded
        image = Image.open(io.BytesIO(data))
        image.verify()
        assert "Software" not in image.info
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(page.stat().st_mode) == 0o666 & ~umask


@pytest.mark.thorough
def test_report_bytes_are_the_same_on_two_runs(tmp_path):
    names = ["a", "b:1", "b:2"]
    files = []
    for run in ("one", "two"):
        write_report(record(*names), [strip(names)], out=tmp_path / run)
        written = [path for path in (tmp_path / run).rglob("*") if path.is_file()]
        files.append({path.relative_to(tmp_path / run): path.read_bytes() for path in written})
    assert files[0] == files[1]
    assert len(files[0]) == 7


def test_page_shows_all_names_and_values_escaped_and_loads_nothing(tmp_path):
    names = [NASTY, "b" * 300, "日本語"]
    text = write_report(record(*names), [strip(names, name=NASTY)], out=tmp_path).read_text("utf-8")
    assert NASTY not in text
    for name in names:
        assert str(html.escape(name)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in text
    for value in ("20.0", "21.0", "22.0"):
        assert f">{value} <small>± 0.3</small>" in text
    assert re.findall(r'(?:src|href|action)\s*=\s*["\']?(?!data:image/png)[^"\'> ]+', text) == []
    assert "@import" not in text
    assert "url(" not in text
    assert text.count("<script>") == 1
    assert "versions.jax" in text
    assert "cpu:0, cpu:1" in text


def test_page_marks_the_best_and_explains_nulls(tmp_path):
    run = record("a", "b")
    run["restorers"][0]["metrics"]["lr_psnr"] = cell(None, None, note="infinite: A x̂ equals y")
    run["restorers"][1]["metrics"]["ssim"] = cell(None, None, note='only "one" pixel')
    text = write_report(run, out=tmp_path).read_text("utf-8")
    assert 'data-sort="Infinity" class="best" title="infinite: A x̂ equals y">∞<' in text
    assert 'data-sort="" title="only &#34;one&#34; pixel">–<' in text
    assert 'title="not measured">–<' in text
    assert re.search(r'data-sort="21.0" class="best">21.0 <small>', text)
    assert not re.search(r'data-sort="20.0" class="best"', text)


def test_page_tolerates_missing_metrics_and_one_restorer(tmp_path):
    run = {"restorers": [{"name": "only", "metrics": {"psnr": cell(20.0), "mystery": cell(1.0, None)}}]}
    text = write_report(run, [strip(["stranger"])], out=tmp_path).read_text("utf-8")
    assert text.count("This figure is left out") == 8
    assert "mystery" in text
    assert "Nothing was recorded" in text
    assert 'class="best"' not in text
    assert list((tmp_path / "figures").iterdir()) == []


@pytest.mark.thorough
def test_page_draws_each_feature_network(tmp_path):
    run = record("a", "b")
    for shift, restorer in enumerate(run["restorers"]):
        restorer["metrics"]["joint_fd_vgg16"] = cell(9.0 + shift)
        restorer["metrics"]["fd_vgg16"] = cell(4.0 + shift)
    write_report(run, out=tmp_path)
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"tradeoff", "tradeoff_vgg16", "distortion_perception_vgg16", "consistency_vgg16", "robustness"} <= names


def test_bad_records_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no restorers"):
        write_report({"restorers": []}, out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="found a file at"):
        write_report(record("a"), out=tmp_path / "file")


def test_a_failed_write_leaves_the_old_page_and_no_debris(tmp_path, monkeypatch):
    page = write_report(record("a"), out=tmp_path)
    before = page.read_bytes()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(record("b"), out=tmp_path)
    assert page.read_bytes() == before
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"images": 1, "alpha": 2 / 255, "steps": 1}, ["1 image ", "2/255", "1 step,"]),
        ({"degradation": "blur", "alpha": 0.01}, ["images degraded by blur", "α = 0.01 "]),
        ({}, ["1 restorer had", "images that had been degraded"]),
    ],
)
def test_summary_uses_what_the_protocol_has(protocol, words):
    text = summary({"protocol": protocol, "restorers": [entry("a")]})
    for word in words:
        assert word in text
    assert ("attack" in text or "changed" in text) == ("alpha" in protocol)


def test_strip_shows_images_pixel_by_pixel():
    names = ["a", "b"]
    sample = strip(names)
    figure = figure_strip(sample, names)
    np.testing.assert_array_equal(drawn(figure, "x"), np.round(sample.x * 255))
    np.testing.assert_array_equal(drawn(figure, "y"), np.round(sample.y * 255).repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(drawn(figure, "restored:a"), np.round(sample.x * 0.9 * 255))
    difference = np.clip(DIFFERENCE_GAIN * (sample.x * 0.9 - sample.x * 0.8), 0, 1)
    np.testing.assert_array_equal(drawn(figure, "difference:b"), np.round(difference * 255))
    seen = pixels(figure)
    ax = next(ax for ax in figure.axes if ax.get_gid() == "restored:a")
    extent = ax.get_window_extent()
    left, top = round(extent.x0), seen.shape[0] - round(extent.y1)
    block = seen[top : top + 256, left : left + 256]
    expected = np.round(sample.x * 0.9 * 255).astype(np.uint8).repeat(32, 0).repeat(32, 1)
    np.testing.assert_array_equal(block, expected)


def test_strip_captions_name_restorers_and_psnr():
    sample = Strip("s", np.full((4, 4, 1), 0.5), np.full((1, 1, 1), 0.5), {"a": Answer(np.full((4, 4, 1), 0.6))})
    figure = figure_strip(sample, ["a"])
    words = {text.get_text() for text in figure.texts}
    assert {"truth x", "input y, 1 × 1", "a", "PSNR 20.0 dB"} <= words
    assert not any("attacked" in word or "difference" in word for word in words)
    same = Strip("s", sample.x, sample.y, {"a": Answer(sample.x, sample.x)})
    assert {"PSNR ∞", "attacked: ∞"} <= {text.get_text() for text in figure_strip(same, ["a"]).texts}


@pytest.mark.parametrize(("count", "blocks", "columns"), [(1, 1, 1), (5, 1, 5), (6, 2, 3), (11, 3, 4)])
def test_strip_wraps_evenly(count, blocks, columns):
    names = [f"m{i}" for i in range(count)]
    figure = figure_strip(strip(names), names)
    places = [ax.get_position() for ax in figure.axes if str(ax.get_gid()).startswith("restored:")]
    assert len({round(place.y0, 4) for place in places}) == blocks
    assert len({round(place.x0, 4) for place in places}) == columns


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (40, 1, 3), (700, 520, 3), (3, 3, 2), (3, 3, 4)])
def test_strips_of_any_shape_are_drawn_inside_the_figure(shape):
    x = np.random.default_rng(0).uniform(-0.1, 1.1, shape)
    figure = figure_strip(Strip("s", x, x[::4, ::4], {"W" * 40: Answer(x, 0.9 * x)}), ["W" * 40])
    assert pixels(figure).shape[2] == 3
    width, height = figure.bbox.size
    for artist in (*figure.texts, *figure.axes):
        extent = artist.get_window_extent()
        assert extent.x0 >= 0
        assert extent.x1 <= width
        assert extent.y0 >= 0
        assert extent.y1 <= height
    assert any("1/2" in text.get_text() for text in figure.texts) == (shape[0] == 700)


def test_undefined_pixels_are_magenta_and_their_psnr_unknown():
    x = np.full((2, 2, 3), 0.5)
    broken = x.copy()
    broken[0, 0, 1] = np.nan
    figure = figure_strip(Strip("s", x, x, {"a": Answer(broken)}), ["a"])
    assert drawn(figure, "restored:a")[0, 0].tolist() == [255, 0, 255]
    assert drawn(figure, "restored:a")[1, 1].tolist() == [128, 128, 128]
    assert "PSNR –" in {text.get_text() for text in figure.texts}


def test_strips_that_do_not_fit_are_refused(tmp_path):
    sample = strip(["a"])
    with pytest.raises(InputError, match="found none"):
        figure_strip(sample, [])
    with pytest.raises(InputError, match="'b'"):
        figure_strip(sample, ["b"])
    with pytest.raises(InputError, match=r"\(4, 4, 3\) for a, expected that of x"):
        figure_strip(sample._replace(outputs={"a": Answer(sample.y)}), ["a"])
    with pytest.raises(InputError, match=r"\(8, 8\) for y"):
        write_report(record("a"), [sample._replace(y=sample.x[..., 0])], out=tmp_path)
