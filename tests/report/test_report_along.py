"""Restorers along alpha in figures and on the page: lines, labels, numbers, and what a browser mixes."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from jaxpr.report import Answer, Strip, along_text, figure_along_alpha, figure_distortion_perception, write_report
from jaxpr.report.scatter import gather_points
from jaxpr.report.style import looks

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALPHAS = (-1.0, 0.0, 0.5, 1.0, 2.0)
RANDOM = np.random.default_rng(0)


def entry(name, family, *, setting=None, variant=None, shift=0.0, **more):
    values = {
        "rmse": 0.1 + shift / 200,
        "psnr": 25 - shift,
        "fd_alexnet": 30 + 9 * shift,
        "joint_fd_alexnet": 40 - shift,
    }
    values |= {"lipschitz_mean": 4 + shift}
    cells = {
        n: {"value": v, "stderr": 0.01 * v, "left_out": list(v + RANDOM.normal(0, 0.001 * v, 5))}
        for n, v in values.items()
    }
    return {"name": name, "family": family, "setting": setting, "variant": variant, "metrics": cells, **more}


def moved(family, alpha):
    shift = 2 * (1 - alpha) ** 2 if alpha != 0.5 else 0.3
    about = {"alpha": alpha, "sha256": family, "encoder": {"name": "tiny", "sha256": None}, "encode": "mode"}
    about |= {"patch": 3, "natural": {"images": 16}}
    more = {"setting": alpha, "variant": "transport", "shift": shift, "weights": {"transport": about}}
    return entry(f"{family}+transport:{alpha:g}", family, **more)


def run(*families):
    entries = [moved(family, alpha) for family in families for alpha in (*ALPHAS[2:], *ALPHAS[:2])]
    coded = {"weights": {"autoencoder": {"name": "tiny", "sha256": None}}, "variant": "autoencoded", "shift": 1.0}
    entries += [entry("nearest", "nearest", shift=3.0), entry(f"{families[0]}+autoencoded", families[0], **coded)]
    ceiling = {"name": "D(E(x)), tiny", "encoder": {"name": "tiny", "sha256": None}}
    ceiling["metrics"] = {"psnr": {"value": 31.0, "stderr": 0.1}, "fd_alexnet": {"value": 4.0, "stderr": 0.1}}
    references = {"ceilings": [ceiling]}
    return {"protocol": {"images": 5}, "provenance": {}, "references": references, "restorers": entries}


def strip(record):
    x = RANDOM.uniform(size=(10, 12, 3))
    outputs = {e["name"]: Answer(RANDOM.uniform(size=x.shape)) for e in record["restorers"]}
    return Strip("sample", x, x[::2, ::2], outputs)


def test_a_curve_is_solid_inside_and_dashed_outside_and_its_ends_are_named():
    record = run("bicubic")
    (ax,) = figure_distortion_perception(record).axes
    lines = {str(line.get_gid()): line for line in ax.lines if str(line.get_gid()).startswith("alpha:")}
    pieces = {part: [ln for ln in ax.lines if ln.get_gid() == f"alpha:0:{part}"] for part in ("inside", "outside")}
    assert set(lines) == {"alpha:0:inside", "alpha:0:outside"}
    places = {e["setting"]: np.sqrt(e["metrics"]["fd_alexnet"]["value"]) for e in record["restorers"][:5]}
    ends = [sorted((places[a], places[b])) for a, b in ((0, 0.5), (0.5, 1))]
    assert [sorted(piece.get_xdata()) for piece in pieces["inside"]] == [pytest.approx(end) for end in ends]
    assert [piece.get_linestyle() for piece in pieces["inside"]] == ["-", "-"]
    assert [piece.get_linestyle() for piece in pieces["outside"]] == ["--", "--"]
    texts = {t.get_text() for t in ax.texts if str(t.get_gid()).startswith("label:")}
    assert texts == {"α = -1", "α = 0", "α = 2", "bicubic", "nearest", "bicubic+autoencoded"}
    dealt = looks(record["restorers"])
    assert [dealt[f"bicubic+transport:{a:g}"].small for a in ALPHAS] == [True, False, True, False, True]


def test_few_keep_their_names():
    record = {"restorers": [entry("bicubic", "bicubic"), moved("bicubic", 0.0)]}
    (ax,) = figure_distortion_perception(record).axes
    assert {t.get_text() for t in ax.texts if str(t.get_gid()).startswith("label:")} >= {
        *("bicubic", "bicubic+transport:0")
    }
    assert any(line.get_gid() == "alpha:0:inside" for line in ax.lines)


def test_panels_show_values_with_errors_of_the_difference_from_x_star():
    record = run("bicubic", "lmmse")
    figure = figure_along_alpha(record)
    titles = [ax.get_title(loc="left").split("   ")[0].replace("\xa0", " ") for ax in figure.axes]
    assert titles == ["PSNR ↑ dB", "FD ↓ AlexNet", "joint FD ↓ AlexNet", "K̄ ↓"]
    line = next(ln for ln in figure.axes[0].lines if ln.get_gid() == "along:psnr:bicubic")
    by_alpha = {e["setting"]: e["metrics"]["psnr"] for e in record["restorers"][:5]}
    np.testing.assert_allclose(line.get_ydata(), [by_alpha[a]["value"] for a in (0, 0.5, 1)])
    bars = figure.axes[0].collections[0].get_segments()
    each = np.array(by_alpha[0]["left_out"]) - np.array(by_alpha[1]["left_out"])
    error = np.sqrt(4 / 5 * np.sum((each - each.mean()) ** 2))
    assert np.diff(bars[1][:, 1])[0] == pytest.approx(2 * error)
    assert np.ptp(bars[3][:, 1]) == 0  # x* from itself
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"D(E(x*))", "D(E(x))"} <= words


def test_errors_in_planes_are_of_the_difference_from_x_star():
    record = run("bicubic")
    points, _ = gather_points(record, lambda e: (e["metrics"]["psnr"]["value"] ** 2, 99.0), lambda e: (1.0, 99.0))
    by_name = {point.name: point for point in points}
    squares = {e["name"]: np.array(e["metrics"]["psnr"]["left_out"]) ** 2 for e in record["restorers"][:5]}
    each = squares["bicubic+transport:2"] - squares["bicubic+transport:1"]
    error = np.sqrt(4 / 5 * np.sum((each - each.mean()) ** 2))
    assert by_name["bicubic+transport:2"].x_stderr == pytest.approx(error)
    assert [by_name[name].x_stderr for name in ("bicubic+transport:1", "nearest")] == [99.0, 99.0]


def test_the_best_alpha_is_said():
    words = along_text(run("bicubic")).splitlines()[1:]
    patterns = (
        r"bicubic: least joint FD \(AlexNet\): α = -1 \(32\.00, -8\.\d* ± 0\.\d+ from x\*, 8\.00 dB lost\)",
        r"bicubic: least joint FD \(AlexNet\), losing at most 1 dB of PSNR: α = 0\.5 \(39\.70, -0.* 0\.30 dB lost\)",
        r"bicubic: least FD \(AlexNet\), losing at most 1 dB of PSNR: α = 1 \(30\.00, 0\.00 dB lost\)",
    )
    for line, pattern in zip(words, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert along_text({"restorers": [entry("a", "a")]}) == ""


@pytest.mark.thorough
def test_the_page_holds_pictures_of_both_ends_and_loads_nothing(tmp_path):
    record = run("bicubic", "lmmse")
    sample = strip(record)
    page = write_report(record, [sample], out=tmp_path).read_text("utf-8")
    data = json.loads(re.search(r'id="along-data">(.*?)</script>', page, re.DOTALL)[1])
    assert [curve["title"] for curve in data["curves"]] == ["bicubic", "lmmse"]
    assert data["curves"][0]["alphas"] == list(ALPHAS)
    assert list(data["curves"][0]["wishes"]) == ["joint_fd_alexnet", "fd_alexnet", "lipschitz_mean"]
    pair = data["curves"][1]["examples"][0]
    for part, alpha in (("restored", 1), ("moved", 0)):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pair[part]))))
        expected = sample.outputs[f"lmmse+transport:{alpha}"].restored
        assert np.abs(shown - 255 * expected).max() <= 0.51
    assert re.findall(r'(?:src|href|action)\s*=\s*["\']?(?!data:image/png)[^"\'> ]+', page) == []
    assert "<td" in page.partition('id="along"')[2].partition("D(E(x))")[2]
    plain = {"restorers": [entry("a", "a")]}
    assert "along-" not in write_report(plain, out=tmp_path / "plain").read_text("utf-8")


@pytest.mark.thorough
def test_without_x_star_there_are_curves_and_no_slider(tmp_path):
    record = {"restorers": [moved("bicubic", 0.0), moved("bicubic", 0.5)]}
    page = write_report(record, [strip(record)], out=tmp_path).read_text("utf-8")
    assert 'id="along"' in page
    assert 'id="strip"' not in page
    assert "Won and lost" not in page
    assert along_text(record).splitlines()[1:] == ["bicubic: least joint FD (AlexNet): α = 0 (38.00)"]


@pytest.mark.thorough
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_mixes_what_alpha_says_and_finds_the_best(tmp_path):
    record = run("bicubic", "lmmse")
    sample = strip(record)
    page = write_report(record, [sample], out=tmp_path).as_uri()
    ends = [np.round(255 * sample.outputs[f"lmmse+transport:{alpha}"].restored[0, 0]) for alpha in (0, 1)]
    for alpha, lose, best in ((0.25, "1", "0.5"), (2, "", "-1")):
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
        words += [f"--user-data-dir={tmp_path}/browser", f"{page}#alpha={alpha}&curve=1&lose={lose}"]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=120).stdout
        assert f'data-alpha="{alpha:g}"' in shown
        assert 'data-curve="lmmse"' in shown
        assert f'data-best="{best}"' in shown
        first = np.array(re.search(r'data-first="(\d+),(\d+),(\d+)"', shown).groups(), float)
        assert np.abs(first - np.clip((1 - alpha) * ends[0] + alpha * ends[1], 0, 255)).max() <= 0.5
