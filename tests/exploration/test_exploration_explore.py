"""Exploring a measurement: what is drawn, chosen, recorded and refused; spaces against loops."""

import dataclasses
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.exploration import (
    compare_images,
    deep_features,
    draw_answers,
    draw_together,
    exploration_record,
    explore,
    lpips_distances,
    read_draws,
)
from jaxpr.metrics import lpips
from jaxpr.restorers import Restorer, from_folder
from jaxpr.weights import perceptual_network

KEY = jax.random.key(0)
DEGRADATION = parse_degradation("average-x2+noise-0.1")
Y = jax.random.uniform(jax.random.key(1), (1, 4, 3, 1), minval=0.2, maxval=0.8)
SHAPE = (8, 6, 1)


def draw(params, key, y):
    """One of three clearly different answers, with a little noise."""
    k_mode, k_noise = jax.random.split(key)
    up = jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)
    mode = jax.random.choice(k_mode, jnp.array([-0.1, 0.0, 0.1]), p=jnp.array([0.1, 0.8, 0.1]))
    return up + mode + 0.01 * jax.random.normal(k_noise, up.shape)


def spread_out(params, keys, y, count):
    """A set whose answers know of each other."""
    up = jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)
    return jnp.stack([up + 0.1 * i for i in range(count)])


DRAWN = Restorer(draw, stochastic=True, label="drawn", weights={"file": "none"})
TOGETHER = Restorer(draw, stochastic=True, label="drawn+guidance", apply_set=spread_out, together=True)


@pytest.fixture(scope="module")
def explored():
    truth = jnp.full((1, *SHAPE), 0.5)
    return explore(
        KEY, {"a/b": DRAWN, "guided": TOGETHER}, Y, DEGRADATION, truth=truth, answers=30, held_out=6, space="pixels"
    )


@pytest.mark.thorough
def test_draws_depend_on_the_key_and_their_number_alone():
    many = draw_answers(KEY, DRAWN, Y, count=7, batch_size=3)
    few = draw_answers(KEY, DRAWN, Y, count=4, batch_size=4)
    assert many.shape == (7, *SHAPE)
    np.testing.assert_array_equal(many[:4], few)
    alone = draw((), jax.random.fold_in(KEY, 5), Y)
    np.testing.assert_allclose(many[5:6], alone, atol=1e-6)
    assert len({answer.tobytes() for answer in many}) == 7

    def untraceable(params, key, y):
        return np.asarray(draw(params, key, jnp.asarray(np.array(y))))

    on_host = draw_answers(KEY, Restorer(untraceable, stochastic=True, host=None), Y, count=4)
    np.testing.assert_allclose(on_host, few, atol=1e-6)
    assert draw_together(KEY, TOGETHER, Y, count=3).shape == (3, *SHAPE)
    with pytest.raises(InputError, match="restorer x: found one that draws single answers, expected one that draws se"):
        draw_together(KEY, DRAWN, Y, count=3, name="x")


def test_numbers_of_the_answers_are_those_of_loops(explored):
    found = explored.answers[0]
    pixels = np.clip(found.images, 0, 1).reshape(30, -1).astype(np.float64)
    gaps = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
    radii = np.sort(gaps, axis=1)[:, 5]
    # 25 of 29 components hold nearly everything.
    np.testing.assert_allclose(found.radius, radii, rtol=0.05)
    np.testing.assert_array_equal(np.argsort(found.rank), np.argsort(found.radius, kind="stable"))
    operator = DEGRADATION.operator(SHAPE)
    expected = [float(np.sqrt(np.mean((np.asarray(operator(image[None])) - Y) ** 2))) for image in found.images]
    np.testing.assert_allclose(found.residual, expected, rtol=1e-5)
    by_method = {one.method: one for one in found.sets}
    assert list(by_method) == ["random", "kmeans", "uniformization", "farthest", "guided"]
    for one in found.sets[:4]:
        assert len(set(one.indices.tolist())) == 5
        np.testing.assert_array_equal(one.images, found.images[one.indices])
        pairs = gaps[np.ix_(one.indices, one.indices)][np.triu_indices(5, 1)]
        np.testing.assert_allclose(one.diversity, pairs.mean(), rtol=0.05)
    assert by_method["farthest"].diversity > by_method["random"].diversity
    assert by_method["kmeans"].coverage_distance < by_method["uniformization"].coverage_distance
    assert by_method["guided"].images.shape == (5, *SHAPE)
    np.testing.assert_array_equal(np.sort(found.tree.point), np.arange(30))
    assert all(found.tree.parent < np.arange(30))


def test_the_folder_holds_page_record_and_answers(explored, tmp_path):
    (tmp_path / "answers" / "0-gone").mkdir(parents=True)
    (tmp_path / "answers" / "0-gone" / "000.png").write_bytes(b"stale")
    page = explored.save(tmp_path)
    record = json.loads((tmp_path / "explore.json").read_text(encoding="utf-8"))
    assert record == json.loads(json.dumps(exploration_record(explored)))
    restorer = record["restorers"][0]
    assert restorer["weights"] == {"file": "none"}
    files = [answer["file"] for answer in restorer["answers"]]
    files += [file for one in restorer["sets"] for file in one["files"]]
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("answers/*/*.png")}
    assert kept == set(files)
    assert files[0] == "answers/0-a-b/000.png"
    pixels = np.asarray(Image.open(tmp_path / files[0]), np.float32) / 255
    np.testing.assert_allclose(pixels, np.clip(explored.answers[0].images[0, ..., 0], 0, 1), atol=0.5 / 255 + 1e-6)
    nodes = restorer["tree"]
    below = [sum(node["parent"] == i for node in nodes) for i in range(len(nodes))]
    assert sum(node["parent"] == -1 for node in nodes) == 5
    assert max(below) <= 5
    assert sum(1 + node["below"] for node in nodes if node["parent"] == -1) == 30
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace('"http-equiv"', "")
    assert explored._repr_html_().startswith("<iframe")
    assert explored.save(tmp_path) == page
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        InputError, match=r"folder: found notes\.txt in .*, expected a new folder or an earlier explora"
    ):
        explored.save(tmp_path)


@pytest.mark.thorough
def test_answers_that_are_not_finite_are_left_out_and_said():
    def sometimes(params, key, y):
        found = draw(params, key, y)
        return jnp.where(jax.random.uniform(key) < 0.3, jnp.nan, found)

    restorers = {"holes": Restorer(sometimes, stochastic=True)}
    with pytest.warns(UserWarning, match=r"restorer holes: left out \d+ answers with NaN or infinite values"):
        found = explore(KEY, restorers, Y, DEGRADATION, answers=8, held_out=2, shown=3, space="pixels").answers[0]
    assert found.left_out > 0
    assert np.isfinite(found.images).all()
    assert len(found.images) + found.held_out + found.left_out == 10


def test_what_cannot_be_explored_is_refused_in_one_line():
    def options(**changes):
        return {"answers": 6, "held_out": 0, "shown": 3, "space": "pixels", **changes}

    def always(params, key, y):
        return draw(params, key, y) * jnp.nan

    one = Restorer(lambda params, key, y: y, label="nearest")
    cases = [
        (
            {"nearest": one},
            {},
            "restorers: found nearest, which has one answer to each measurement, expected ones that",
        ),
        ({"d": DRAWN}, {"shown": 7}, "shown: found 7, expected at most the number of answers, 6"),
        ({"d": DRAWN}, {"answers": 2}, "answers: found 2, expected an integer of at least 3"),
        ({"d": DRAWN}, {"space": "vgg19"}, "space: found 'vgg19', expected one of vgg16"),
        ({"d": DRAWN}, {"space": "unknown-pixels"}, "space: found 'unknown-pixels' where no pixel is unknown"),
        ({"g": TOGETHER}, {}, r"restorers: found only ones with \+guidance, expected one without"),
        ({}, {}, "restorers: found none"),
        ({"n": Restorer(always, stochastic=True)}, {}, "restorer n: found NaN or infinite values in every answer"),
        (
            {"s": Restorer(lambda p, key, y: y + jax.random.normal(key, y.shape), stochastic=True)},
            {},
            r"restorer s: found output of shape \(6, 4, 3, 1\), expected \(6, 8, 6, 1\)",
        ),
        (
            {"r": Restorer(lambda p, key, y: 255 * draw(p, key, y), stochastic=True)},
            {},
            "restorer r: found output from .*, which looks like 0 to 255",
        ),
    ]
    for restorers, changes, expected in cases:
        with pytest.raises(InputError, match=expected) as error:
            explore(KEY, restorers, Y, DEGRADATION, **options(**changes))
        assert "\n" not in str(error.value)


def test_draws_of_a_folder_by_the_images_name_or_their_own_numbers(tmp_path):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (11, 8, 6), dtype=np.uint8)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"face_{i}.png")
    for image in ("face", "other"):
        found = read_draws(from_folder(tmp_path), image, channels=1)
        np.testing.assert_allclose(found[..., 0], pictures / 255, atol=1e-6)
    Image.fromarray(pictures[0]).save(tmp_path / "stranger.png")
    with pytest.raises(InputError, match="found no file for other"):
        read_draws(from_folder(tmp_path), "other", channels=1, name="x")
    (tmp_path / "stranger.png").unlink()
    Image.fromarray(pictures[0, :4]).save(tmp_path / "face_0.png")
    with pytest.raises(InputError, match=r"restorer x: found answers of 4×6 and 8×6 pixels in .*, expected one size"):
        read_draws(from_folder(tmp_path), "face", channels=1, name="x")


def test_spaces_are_what_their_names_say():
    images = jax.random.uniform(jax.random.key(4), (6, 8, 6, 3))
    mask = np.zeros((8, 6), bool)
    mask[2:4] = True
    found = compare_images(images[:4], images[4:], space="unknown-pixels", unknown=mask)
    pixels = np.asarray(images)[:, mask].reshape(6, -1)
    np.testing.assert_allclose(
        found.distances[:4, :4], np.linalg.norm(pixels[:4, None] - pixels[None, :4], axis=-1), atol=1e-4
    )
    assert found.features.shape == (4, 3)
    assert found.dim == 3


@pytest.mark.thorough
def test_networks_see_chunks_as_the_whole():
    images = jax.random.uniform(jax.random.key(5), (5, 40, 32, 1))
    whole, parts = (deep_features(images, network="alexnet", chunk=chunk) for chunk in (5, 2))
    np.testing.assert_allclose(whole, parts, atol=1e-4)
    network = perceptual_network("alexnet")
    found = lpips_distances(jax.random.uniform(KEY, (5, 64, 70, 3)), network=network, chunk=2)
    again = jax.random.uniform(KEY, (5, 64, 70, 3))
    expected = [
        [float(lpips(again[i : i + 1], again[j : j + 1], network=network)[0]) for j in range(5)] for i in (0, 3)
    ]
    np.testing.assert_allclose(found[jnp.array([0, 3])], expected, atol=1e-5)
    np.testing.assert_array_equal(found, found.T)
    compared = compare_images(again[:4], again[4:], space="lpips")
    assert (compared.features, compared.dim, compared.distances.shape) == (None, 5, (5, 5))


@pytest.mark.thorough
def test_distances_alone_and_overlapping_branches_are_enough():
    restorers = {"drawn": dataclasses.replace(DRAWN, label="x")}
    y = jnp.full((1, 16, 16, 1), 0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explore(KEY, restorers, y, DEGRADATION, answers=12, held_out=0, shown=3, space="lpips", overlap=0.5)
    assert np.isnan(found.answers[0].sets[0].coverage_distance)
    tree = found.answers[0].tree
    np.testing.assert_array_equal(np.sort(tree.point[~tree.guest]), np.arange(12))
    assert exploration_record(found)["restorers"][0]["sets"][0]["coverage_distance"] is None
