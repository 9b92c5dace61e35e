"""The zigzag through the square: K_f's arrows, and distances beside their bound."""

import numpy as np
import pytest

from jaxpr.report.style import new_figure
from jaxpr.reproduce.zigzags import draw_transport, zigzag_distances, zigzag_table


def test_arrows_are_horizontal_and_end_on_the_zigzag():
    ax = new_figure(2, 2).add_subplot()
    draw_transport(ax, frequency=2, columns=3, rows=5)
    (arrows,) = (a for a in ax.collections if a.get_label() == "K_f")
    start, across, up = arrows.XY, arrows.U, arrows.V
    assert len(start) == 4 * 3 * 5
    np.testing.assert_allclose(up, 0, atol=1e-6)
    end = start[:, 0] + across
    height = np.arccos(np.cos(4 * np.pi * end)) / np.pi
    np.testing.assert_allclose(height, start[:, 1], atol=1e-5)
    np.testing.assert_array_equal(np.floor(4 * start[:, 0]), np.floor(4 * end))  # within its piece
    assert (arrows.angles, arrows.scale_units, arrows.scale) == ("xy", "xy", 1)  # as long as the steps
    (curve,) = (line for line in ax.lines if line.get_label() == "outputs, f = 2")
    np.testing.assert_allclose(curve.get_ydata(), np.arccos(np.cos(4 * np.pi * curve.get_xdata())) / np.pi, atol=1e-7)


def test_distances_are_below_what_the_map_costs_and_the_floor():
    found = zigzag_distances((1, 8), seeds=2, points=300)
    assert found.w2.shape == found.moved.shape == (2, 2)
    np.testing.assert_allclose(found.bound, [1 / np.sqrt(24), 1 / np.sqrt(24) / 8], rtol=1e-6)
    np.testing.assert_allclose(found.moved, np.tile(found.bound, (2, 1)), rtol=0.15)  # 300 draws
    assert (found.w2 < found.bound + found.floor[:, None]).all()
    assert (found.w2[:, 1] < found.w2[:, 0]).all()
    table = zigzag_table(found, title="Square")
    assert [row[0] for row in table.rows] == ["f = 1", "f = 8", "another sample of the square"]
    assert table.rows[0][2][0] == pytest.approx(found.moved[:, 0].mean())
