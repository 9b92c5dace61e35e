"""Bars and bands show means over seeds, and planes the densities of their axes, where they belong."""

import numpy as np

from jaxpr.report.style import new_figure
from jaxpr.reproduce.figures import draw_density, marginal_axes, seed_band, seed_bars


def test_bars_are_means_and_dots_are_seeds():
    ax = new_figure(2, 2).add_subplot()
    values = {"a": np.array([[1.0, 3.0], [2.0, 2.0]]), "b": np.array([[4.0, 6.0], [0.0, 2.0]])}
    places = seed_bars(ax, values, colours=("red", "blue"))
    np.testing.assert_allclose(places, [[-0.2, 0.8], [0.2, 1.2]])
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(-0.2, 2), (0.8, 2), (0.2, 5), (1.2, 1)])
    for line, (kind, each), place in zip(ax.lines, values.items(), places, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), each.ravel(), kind)
        np.testing.assert_allclose(np.reshape(line.get_xdata(), (2, 2)).mean(axis=1), place)


def test_a_band_is_one_deviation_wide_and_none_of_one_seed():
    for values, width in ((np.array([[1.0, 3.0], [2.0, 4.0]]), 2 * np.sqrt(2)), (np.ones((2, 1)), 0)):
        ax = new_figure(2, 2).add_subplot()
        seed_band(ax, np.arange(2.0), values, colour="red", marker="o", label="a")
        np.testing.assert_allclose(ax.lines[0].get_ydata(), values.mean(axis=1))
        edges = ax.collections[0].get_paths()[0].vertices
        edges = edges[edges[:, 0] == 0, 1]
        np.testing.assert_allclose(edges.max() - edges.min(), width)


def test_a_plane_has_a_density_along_each_axis():
    figure = new_figure(3, 3)
    plane, above, beside = marginal_axes(figure, figure.add_gridspec(1, 1)[0])
    grid, values = np.linspace(-6, 6, 601), np.random.default_rng(0).normal(1.0, 0.5, 5000)
    for ax, upright in ((above, False), (beside, True)):
        density = draw_density(ax, values, grid, colour="red", upright=upright)
        exact = np.exp(-2 * (grid - 1) ** 2) * np.sqrt(2 / np.pi)
        np.testing.assert_allclose(density, exact, atol=0.06)  # the kernel's width and 5,000 draws
        np.testing.assert_array_equal(ax.lines[0].get_data()[1 - upright], density)
        np.testing.assert_array_equal(ax.lines[0].get_data()[upright], grid)
    draw_density(above, 0.01 * values, grid / 100, colour="blue")
    assert above.get_ylim()[1] > 70  # the highest is not cut off
    plane.set(xlim=(0, 1), ylim=(2, 3))
    assert above.get_xlim() == (0, 1)
    assert beside.get_ylim() == (2, 3)
