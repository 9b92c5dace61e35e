import itertools
import math

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from jaxpr.core import InputError
from jaxpr.records import MissingMetricError
from jaxpr.report import (
    figure_consistency,
    figure_distortion_perception,
    figure_robustness,
    figure_tradeoff,
)
from jaxpr.report.labels import Obstacles, place_labels
from jaxpr.report.style import looks, png_bytes

ALL = (figure_tradeoff, figure_distortion_perception, figure_consistency, figure_robustness)


def restorer(
    name,
    *,
    family=None,
    setting=None,
    joint=60.0,
    marginal=50.0,
    lipschitz=4.0,
    lr_psnr=40.0,
    output=45.0,
    stderr=0.1,
    **others,
):
    values = {
        "rmse": 0.08,
        "lr_psnr": lr_psnr,
        "fd_alexnet": marginal,
        "joint_fd_alexnet": joint,
        "lipschitz_mean": lipschitz,
        "adversarial_output_psnr": output,
        "adversarial_input_psnr": 48.3,
        **others,
    }
    found = {"name": name, "family": family, "setting": setting, "variant": None}
    return found | {"metrics": {key: {"value": v, "stderr": stderr} for key, v in values.items()}}


def record(*entries):
    return {"protocol": {}, "provenance": {}, "restorers": list(entries)}


def clustered(count):
    """`count` restorers in three tight clusters."""
    middles = ((30.0, 7.0), (60.0, 4.0), (63.0, 4.1))
    draw = np.random.default_rng(3)
    return record(
        *(
            restorer(
                f"method-{i}" if i % 2 else f"family:{i}",
                family=None if i % 2 else "family",
                setting=None if i % 2 else float(i),
                joint=middles[i % 3][0] + draw.normal(),
                marginal=0.8 * middles[i % 3][0] + draw.normal(),
                lipschitz=middles[i % 3][1] + 0.1 * draw.normal(),
                rmse=0.07 + 0.002 * draw.normal(),
            )
            for i in range(count)
        )
    )


def tagged(figure, kind):
    """{name: artist} of the artists whose gid is `kind:name`."""
    artists = [a for ax in figure.axes for a in (*ax.lines, *ax.texts) if str(a.get_gid()).startswith(f"{kind}:")]
    return {artist.get_gid().split(":", 1)[1]: artist for artist in artists}


def box(text):
    return Text.get_window_extent(text, text.figure.canvas.get_renderer())


def assert_tidy(figure):
    """Labels cover neither one another nor markers, and lie inside their axes."""
    png_bytes(figure)  # drawing puts annotations in their places
    for ax in figure.axes:
        labels = [t for t in ax.texts if str(t.get_gid()).startswith("label")]
        for a, b in itertools.combinations(labels, 2):
            assert not box(a).overlaps(box(b)), (a.get_text(), b.get_text())
        points = [line for line in ax.lines if str(line.get_gid()).startswith("point:")]
        for label, point in itertools.product(labels, points):
            place = ax.transData.transform(np.column_stack(point.get_data()))[0]
            assert not box(label).contains(*place), (label.get_text(), point.get_gid())
        frame = ax.get_window_extent()
        for label in labels:
            extent = box(label)
            assert frame.x0 <= extent.x0 < extent.x1 <= frame.x1
            assert frame.y0 <= extent.y0 < extent.y1 <= frame.y1


def test_tradeoff_has_a_labelled_point_with_error_bars_for_each_restorer():
    entries = [restorer("a", joint=64.0, lipschitz=3.5), restorer("b:1", joint=25.0, lipschitz=7.0)]
    figure = figure_tradeoff(record(*entries))
    points = tagged(figure, "point")
    assert {name: tuple(np.ravel(p.get_data())) for name, p in points.items()} == {"a": (8.0, 3.5), "b:1": (5.0, 7.0)}
    assert {t.get_text() for t in tagged(figure, "label").values()} == {"a", "b:1"}
    bars = [line for line in figure.axes[0].lines if line.get_gid() == "error:a"]
    widths = sorted(np.ptp(line.get_xdata()) for line in bars)
    np.testing.assert_allclose(widths, [0.0, 2 * 0.1 / (2 * 8.0)], rtol=1e-9)
    assert "AlexNet" in next(t.get_text() for t in figure.axes[0].texts if t.get_gid() == "xlabel")
    assert_tidy(figure)


def test_distortion_perception_shows_rmse_in_grey_levels():
    figure = figure_distortion_perception(record(restorer("a", marginal=49.0, rmse=0.1)))
    np.testing.assert_allclose(np.ravel(tagged(figure, "point")["a"].get_data()), [7.0, 25.5])


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, 2, 10, 14])
@pytest.mark.parametrize("draw", [figure_tradeoff, figure_distortion_perception, figure_consistency])
def test_labels_of_clusters_do_not_overlap(draw, count):
    figure = draw(clustered(count))
    assert len([t for t in figure.axes[-1].texts if str(t.get_gid()).startswith("label:")]) == count
    assert_tidy(figure)


def member(name, family=None, setting=None, variant=None):
    return {"name": name, "family": family, "setting": setting, "variant": variant}


def test_families_share_looks_and_variants_are_hollow():
    dealt = looks(
        [
            member("soft", "exemplar", 0.3),
            member("bicubic", "bicubic"),
            member("sharp", "exemplar", 0.1),
            member("exact", "bicubic", variant="project"),
        ]
    )
    assert dealt["soft"]._replace(plain="", setting=0) == dealt["sharp"]._replace(plain="", setting=0)
    assert dealt["exact"].colour == dealt["bicubic"].colour != dealt["soft"].colour
    assert dealt["exact"].face == "white"
    assert dealt["exact"].plain == "bicubic"
    many = looks([member(f"m{i}") for i in range(14)])
    assert len({(look.colour, look.marker) for look in many.values()}) == 14


def test_nothing_is_read_out_of_names():
    names = ("network:a.pth", "network:b.pth", "gan-0.03", "gan-0.03-robust", "exemplar:0.1", "exemplar:0.1+project")
    dealt = looks([{"name": name} for name in names])  # as records have it that were made before
    assert [(look.family, look.variant, look.plain) for look in dealt.values()] == [(name, "", name) for name in names]
    assert len({look.colour for look in dealt.values()}) == len(names)


def test_a_variant_belongs_to_the_usual_member_of_its_setting():
    dealt = looks([member("a", "gan", 0.1), member("b", "gan", 0.3), member("c", "gan", 0.3, "robust")])
    assert dealt["c"].plain == "b"
    assert looks([member("c", "gan", 0.3, "robust")])["c"].plain == "c"


def test_a_family_is_joined_in_the_order_given():
    entries = [
        restorer("two", family="e", setting=2.0, joint=36.0),
        restorer("other"),
        restorer("nine", family="e", setting=9.0, joint=81.0),
        restorer("one", family="e", setting=1.0, joint=16.0),
    ]
    line = tagged(figure_tradeoff(record(*entries)), "family")["two"]
    np.testing.assert_allclose(line.get_xdata(), [6.0, 9.0, 4.0])


def test_without_a_setting_nothing_is_joined():
    entries = [restorer("a", family="e"), restorer("b", family="e", joint=36.0)]
    assert not tagged(figure_tradeoff(record(*entries)), "family")


def test_the_front_joins_restorers_that_no_other_beats():
    entries = [
        restorer("beaten", joint=100.0, lipschitz=5.0),
        restorer("robust", joint=81.0, lipschitz=3.0),
        restorer("natural", joint=25.0, lipschitz=8.0),
        restorer("between", joint=49.0, lipschitz=4.0),
    ]
    front = next(line for line in figure_tradeoff(record(*entries)).axes[0].lines if line.get_gid() == "front")
    np.testing.assert_allclose(front.get_xdata(), [5.0, 7.0, 9.0])


def test_wide_ranges_get_a_logarithmic_axis():
    figure = figure_tradeoff(record(restorer("a", lipschitz=1.0), restorer("b", lipschitz=300.0)))
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("linear", "log")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -1.0])
def test_undefined_values_are_left_out_and_named(value):
    figure = figure_tradeoff(record(restorer("good"), restorer("bad", joint=value)))
    assert set(tagged(figure, "point")) == {"good"}
    assert any("bad" in text.get_text() for text in figure.texts)
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_a_distance_of_zero_has_no_error_bar():
    figure = figure_tradeoff(record(restorer("perfect", joint=0.0, lipschitz=2.0), restorer("b")))
    assert tagged(figure, "point")["perfect"].get_xdata()[0] == 0.0
    assert all(np.ptp(bar.get_xdata()) == 0 for bar in [tagged(figure, "error")["perfect"]])


def test_consistency_sorts_caps_and_marks_infinite_values():
    entries = [restorer("low", lr_psnr=30.0), restorer("top", lr_psnr=math.inf), restorer("high", lr_psnr=120.0)]
    figure = figure_consistency(record(*entries))
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["top", "high", "low"]
    points = tagged(figure, "point")
    assert [line.get_xdata()[0] for line in ax.lines if str(line.get_gid()).startswith("point:")] == [80.0, 80.0, 30.0]
    assert set(points) == {"low", "top", "high"}
    assert {"∞", "120.00 ± 0.10", "30.00 ± 0.10"} <= {text.get_text() for text in ax.texts}
    assert ax.get_xticklabels()[-1].get_text() == "≥ 80"


def test_consistency_plane_shows_what_joint_fd_adds():
    figure = figure_consistency(record(restorer("a", joint=65.0, marginal=49.0), restorer("b", joint=40.0)))
    plane = figure.axes[1]
    points = [line for line in plane.lines if str(line.get_gid()).startswith("point:")]
    assert [tuple(np.ravel(p.get_data())) for p in points] == [(7.0, 4.0)]
    assert any("joint FD not above FD" in text.get_text() and "b" in text.get_text() for text in figure.texts)


def test_consistency_draws_the_panel_that_it_can():
    entry = restorer("a")
    del entry["metrics"]["joint_fd_alexnet"]
    assert len(figure_consistency(record(entry)).axes) == 1
    entry = restorer("a")
    del entry["metrics"]["lr_psnr"]
    assert len(figure_consistency(record(entry)).axes) == 1


def test_robustness_sorts_and_shows_input_and_output():
    entries = [restorer("weak", output=30.0), restorer("firm", output=49.0), restorer("x", output=None)]
    figure = figure_robustness(record(*entries))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["firm", "weak"]
    assert tagged(figure, "point")["weak"].get_xdata()[0] == 30.0
    assert tagged(figure, "input")["weak"].get_xdata()[0] == 48.3
    assert any("x" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("draw", ALL)
def test_names_of_any_kind_are_drawn_literally(draw):
    names = ["<b>$x^2$ & co</b>", "very long " * 20, "日本語 🎉", "two\nlines\t", "$"]
    figure = draw(record(*(restorer(name, joint=60.0 + 5 * i, lipschitz=3.0 + i) for i, name in enumerate(names))))
    assert png_bytes(figure).startswith(b"\x89PNG")
    words = {text.get_text() for ax in figure.axes for text in (*ax.texts, *ax.get_yticklabels())}
    assert "<b>$x^2$ & co</b>" in words
    assert max(map(len, words - {max(words, key=len)})) < 80
    assert_tidy(figure)


@pytest.mark.thorough
@pytest.mark.parametrize("draw", ALL)
def test_figures_leave_global_settings_alone_and_ignore_them(draw):
    plain = png_bytes(draw(clustered(5)))
    with matplotlib.rc_context({"font.size": 22, "axes.facecolor": "red", "figure.dpi": 33}):
        before = dict(matplotlib.rcParams)
        assert png_bytes(draw(clustered(5))) == plain
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("draw", ALL)
def test_missing_metrics_and_empty_records_are_errors(draw):
    with pytest.raises(MissingMetricError, match="this figure needs"):
        draw(record({"name": "a", "metrics": {"ssim": {"value": 0.5, "stderr": None}}}))
    with pytest.raises(InputError, match="no restorers"):
        draw(record())


def test_features_can_be_chosen():
    entry = restorer("a", joint_fd_vgg16=16.0)
    assert tagged(figure_tradeoff(record(entry), features="vgg16"), "point")["a"].get_xdata()[0] == 4.0
    with pytest.raises(MissingMetricError, match="joint_fd_inception"):
        figure_tradeoff(record(entry), features="inception")


def test_place_labels_is_deterministic_scales_and_keeps_clear():
    draw = np.random.default_rng(0)
    anchors = draw.uniform(200, 400, (14, 2))
    sizes = np.column_stack([draw.uniform(40, 120, 14), np.full(14, 12.0)])
    markers = np.concatenate([anchors - 5, anchors + 5], axis=1)
    frame = np.array([0.0, 0.0, 700.0, 600.0])
    centres = place_labels(anchors, sizes, Obstacles(frame, markers, np.zeros((0, 2))))
    np.testing.assert_array_equal(centres, place_labels(anchors, sizes, Obstacles(frame, markers, np.zeros((0, 2)))))
    doubled = place_labels(2 * anchors, 2 * sizes, Obstacles(2 * frame, 2 * markers, np.zeros((0, 2))), unit=2.0)
    np.testing.assert_allclose(doubled, 2 * centres)
    low, high = centres - sizes / 2, centres + sizes / 2
    assert (low >= 0).all()
    assert (high <= frame[2:]).all()
    for i, j in itertools.combinations(range(14), 2):
        assert (low[i] >= high[j]).any() or (low[j] >= high[i]).any()
    assert place_labels(np.zeros((0, 2)), np.zeros((0, 2)), Obstacles(frame, markers, anchors)).shape == (0, 2)
