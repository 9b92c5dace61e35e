"""Which restorers of a record are one along alpha, their differences from x*, and the best alpha for a wish."""

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.records import alpha_curves, best_alphas
from jaxpr.records.along import best_alpha, curve_results, usual_baseline
from jaxpr.records.results import Metric, RestorerResult, from_record, metric_cell

PIXELS, OTHER = {"name": "pixels", "sha256": None}, {"name": "tiny", "sha256": "0" * 64}
RANDOM = np.random.default_rng(0)


def entry(name, *, family="bicubic", setting=None, variant=None, weights=None, psnr=25.0, fd=9.0, joint=None):
    each = np.sort(RANDOM.normal(size=8))
    values = {"psnr": psnr, "fd_alexnet": fd, "joint_fd_alexnet": fd + 1 if joint is None else joint}
    cells = {n: Metric(v, 0.1, left_out=tuple(v + RANDOM.normal() / 50 + each / 10)) for n, v in values.items()}
    found = {"name": name, "label": name, "family": family, "setting": setting, "variant": variant, "curves": {}}
    more = {} if weights is None else {"weights": weights}
    return {**found, "labels": {}, "metrics": {n: metric_cell(cell) for n, cell in cells.items()}, **more}


def moved(alpha, *, encoder=PIXELS, sha256="a", variant="transport", family="bicubic", **values):
    about = {"alpha": alpha, "sha256": sha256, "encoder": encoder, "encode": "mode", "noise": "none is needed"}
    name = f"{family}+{variant}:{alpha:g} {sha256}"
    return entry(name, family=family, setting=alpha, variant=variant, weights={"transport": about}, **values)


def record(*entries, references=None):
    return {"protocol": {"images": 8}, "provenance": {}, "references": references or {}, "restorers": list(entries)}


def test_one_map_is_one_curve_and_the_plain_restorer_is_alpha_one():
    plain, again = entry("bicubic"), entry("again", variant="autoencoded", weights={"autoencoder": OTHER})
    projected = entry("p", variant="project")
    ceiling = {"name": "D(E(x)), tiny", "encoder": OTHER, "metrics": again["metrics"]}
    entries = [moved(0.5), plain, moved(-1.0), moved(0.0, sha256="b", encoder=OTHER), projected, again]
    entries += [moved(0.0, variant="transport+project"), moved(0.0, family="lmmse"), moved(2.0, family="exemplar 0.1")]
    entries += [entry("exemplar:0.1", family="exemplar", setting=0.1)]
    first, second, third, fourth = alpha_curves(record(*entries, references={"ceilings": [ceiling]}))
    assert (first.title, first.alphas) == ("bicubic", (-1.0, 0.5, 1.0))
    assert [e["name"] for e in first.entries] == ["bicubic+transport:-1 a", "bicubic+transport:0.5 a", "bicubic"]
    assert first.whole == ("bicubic+transport:0.5 a", "bicubic+transport:-1 a")
    assert (first.itself, first.again, first.ceiling, first.at(0.0)) == (plain, None, None, None)
    assert (second.title, second.alphas, second.again, second.ceiling) == ("bicubic #2", (0.0, 1.0), again, ceiling)
    assert (third.title, third.entries[1]) == ("bicubic+project", projected)
    assert (fourth.title, fourth.entries[0]["name"]) == ("exemplar 0.1", "exemplar:0.1")
    own = alpha_curves(record(plain, moved(1.0), moved(0.0)))[0]
    assert own.at(1.0)["name"] == "bicubic+transport:1 a"
    assert alpha_curves(record(plain, projected)) == []
    asked = [record(moved(0.0), moved(1.0), plain), record(moved(0.0), plain), record(projected, moved(0.0), plain)]
    assert [usual_baseline(from_record(run)) for run in asked] == ["bicubic+transport:1 a", "bicubic", "p"]


def test_differences_are_from_x_star_over_the_same_photographs():
    run = record(entry("bicubic"), moved(0.0, psnr=24.0), moved(2.0, psnr=23.0))
    found = curve_results(run, alpha_curves(run)[0])
    assert [row.name for row in found.restorers] == ["x̂₀", "x*", "x̂ at α = 2"]
    assert found.restorers[1].differences == {}
    each = [np.array(e["metrics"]["psnr"]["left_out"]) for e in run["restorers"]]
    apart = found.restorers[0].differences["psnr"]
    assert apart.value == -1.0
    assert apart.stderr == pytest.approx(np.sqrt(7 / 8 * np.sum((each[1] - each[0] - np.mean(each[1] - each[0])) ** 2)))


def rows(psnr_values, fd_values):
    return [
        RestorerResult(str(i), {"psnr": Metric(p, 0.1), "fd_alexnet": Metric(f, 0.1)}, {}, {})
        for i, (p, f) in enumerate(zip(psnr_values, fd_values, strict=True))
    ]


def test_the_best_of_the_measured_alphas():
    alphas, measured = (-1.0, 0.0, 0.5, 1.0), rows((20, 27, 29.2, 30), (5, 2, 3, 9))
    assert best_alpha(alphas, measured).alpha == 0.0
    within = best_alpha(alphas, measured, lose_psnr=1.0)
    assert (within.alpha, within.metric, within.value) == (0.5, "fd_alexnet", 3)
    assert within.psnr_lost == pytest.approx(0.8)
    assert best_alpha(alphas, measured, lose_psnr=0.0).alpha == 1.0
    assert best_alpha(alphas, rows((20, 30, 30, 30), (5, 2, 2, 9))).alpha == 0.5  # the nearest to x* of equal ones
    infinite = rows((20, 27, 29, float("inf")), (5, 2, 3, 9))
    assert best_alpha(alphas, infinite, lose_psnr=1.0).alpha == 1.0
    for wish, lose, message in (
        ("least-niqe", None, "wish: found least-niqe where it was not measured"),
        ("best", None, "wish: found 'best', expected one of least-joint-fd, least-fd, least-niqe, least-lpips"),
        ("least-fd", -1.0, "lose_psnr: found -1.0, expected decibels of zero or more"),
    ):
        with pytest.raises(InputError, match=message):
            best_alpha(alphas, measured, wish=wish, lose_psnr=lose)
    with pytest.raises(InputError, match="lose_psnr: found a wish for PSNR without that of x"):
        best_alpha(alphas[:3], measured[:3], lose_psnr=1.0)


def test_a_finished_run_is_asked_without_running_anything():
    curve = [moved(a, psnr=p, fd=f) for a, p, f in ((-1.0, 20, 5), (0.0, 24.5, 2), (0.5, 25.2, 3))]
    run = record(entry("bicubic", psnr=25.4, fd=9.0), *curve, entry("lmmse", family="lmmse"))
    assert {title: wish.alpha for title, wish in best_alphas(run).items()} == {"bicubic": 0.0}
    found = best_alphas(run, wish="least-joint-fd", lose_psnr=0.5)["bicubic"]
    assert (found.alpha, found.metric) == (0.5, "joint_fd_alexnet")
    assert found.psnr_lost == pytest.approx(0.2)
    assert best_alphas(run, wish="least-niqe") == {}
    with pytest.raises(InputError, match="record: found no restorer along alpha, expected some of"):
        best_alphas(record(entry("bicubic")))
