"""Restorers by name: every spec, the user's own functions, what is fitted and when, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.restorers import (
    Training,
    bicubic,
    build_restorers,
    default_restorers,
    lanczos,
    nearest,
    nlm,
)
from jaxpr.restorers.builders import WORDS
from jaxpr.restorers.endings import ENDINGS
from jaxpr.restorers.words import words_table

FLOAT32 = 1e-5
DEGRADATION = parse_degradation("average-x2")
IMAGES = [np.random.default_rng(seed).random((20, 25 + seed, 3), np.float32) for seed in range(2)]
Y = jnp.asarray(np.random.default_rng(9).random((1, 6, 5, 3), np.float32))


class Images:
    """Training images that count how often they are asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[np.ndarray]:
        self.calls += 1
        return IMAGES


def build(*specs: str, images=None, **changes):
    training = Training(
        images=images or Images(),
        degrade=DEGRADATION,
        degradation=DEGRADATION,
        channels=3,
        dictionary=20,
        key=jax.random.key(0),
    )
    return build_restorers(specs, training._replace(**changes))


@pytest.mark.parametrize("enlarge", [nearest, bicubic, lanczos])
def test_interpolation_needs_no_training(enlarge):
    images = Images()
    restorers = build(enlarge.__name__, f"{enlarge.__name__}+project", images=images)
    np.testing.assert_array_equal(restorers[enlarge.__name__](Y), enlarge(Y, factor=2))
    assert images.calls == 0


def test_non_local_means_knows_the_noise_and_enlarges():
    noisy = np.asarray(jax.random.uniform(jax.random.key(1), (1, 12, 10, 3)))
    denoised = build("nlm:0.06", degradation=parse_degradation("noise-0.1"))["nlm:0.06"](noisy)
    np.testing.assert_array_equal(denoised, nlm(noisy, h=0.06, sigma=0.1))
    enlarged = build("nlm:0.06")["nlm:0.06"](Y)
    np.testing.assert_array_equal(enlarged, bicubic(nlm(Y, h=0.06), factor=2))
    with pytest.raises(InputError, match="restorers: found strength 0 in 'nlm:0', expected a positive number"):
        build("nlm:0")


@pytest.mark.thorough
def test_names_are_the_specs_in_their_order():
    specs = ["lanczos", "exemplar:0.1", "nearest", "lmmse", "bicubic+project", "exemplar:1e-1", "lmmse+project"]
    images = Images()
    restorers = build(*specs, images=images)
    assert list(restorers) == specs
    assert images.calls == 1
    restored = {name: restore(Y) for name, restore in restorers.items()}
    assert {x.shape for x in restored.values()} == {(1, 12, 10, 3)}
    np.testing.assert_array_equal(restored["exemplar:0.1"], restored["exemplar:1e-1"])
    operator = DEGRADATION.operator((12, 10, 3))
    for name in ("bicubic+project", "lmmse+project"):
        np.testing.assert_allclose(operator(restored[name]), Y, rtol=0, atol=FLOAT32)
        expected = operator.project(restored[name.removesuffix("+project")], Y) if name.startswith("lmmse") else None
        if expected is not None:
            np.testing.assert_allclose(restored[name], expected, rtol=0, atol=FLOAT32)


def test_what_restorers_say_of_themselves():
    found = build("bicubic", "exemplar:0.1", "exemplar:1+project", "sharp=exemplar:0.1", "lmmse+project")
    described = {name: (r.label, r.family, r.setting, r.variant) for name, r in found.items()}
    assert described == {
        "bicubic": ("bicubic", "bicubic", None, None),
        "exemplar:0.1": ("exemplar:0.1", "exemplar", 0.1, None),
        "exemplar:1+project": ("exemplar:1+project", "exemplar", 1.0, "project"),
        "sharp": ("exemplar:0.1", "exemplar", 0.1, None),
        "lmmse+project": ("lmmse+project", "lmmse", None, "project"),
    }
    assert {(r.scale, r.cost, r.stochastic, r.differentiable) for r in found.values()} == {(2, 0, False, True)}


def test_members_of_a_family_share_their_function():
    found = build("exemplar:0.1", "exemplar:1", "a=exemplar:0.1+project", "b=exemplar:1+project", "nlm:1", "nlm:2")
    applies = [restorer.apply for restorer in found.values()]
    assert applies[0] == applies[1] != applies[2] == applies[3]
    assert applies[4] == applies[5]
    assert len(set(applies)) == 3


def test_labels_name_and_paths_with_an_equals_sign_are_no_labels(tmp_path):
    folder = tmp_path / "rate=1"
    folder.mkdir()
    spec = write(folder, "def negative(y):\n    return -y\n") + ":negative"
    assert list(build(f"own word={spec}", spec, "a=nearest", "b=nearest")) == ["own word", spec, "a", "b"]
    with pytest.raises(InputError, match="found a more than once"):
        build("a=nearest", "a=bicubic")
    with pytest.raises(InputError, match="restorers: found '=nearest', expected one of nearest"):
        build("=nearest")
    with pytest.raises(InputError, match="restorers: found 'bicubik', expected one of nearest"):
        build("a=bicubik")


def test_a_restorer_of_the_users_own_keeps_what_it_says(tmp_path):
    value = "Restorer(lambda params, key, y: params * y, 2.0, family='f', setting=2.0)"
    source = f"from jaxpr.restorers import Restorer\nmine = {value}"
    spec = write(tmp_path, source) + ":mine"
    found = build(spec)[spec]
    np.testing.assert_array_equal(found(Y), 2 * Y)
    assert (found.label, found.family, found.setting) == (spec, "f", 2.0)


def test_the_table_lists_every_word():
    shown = [shown for shown, _ in words_table()]
    assert len(shown) == len(WORDS) + len(ENDINGS) + 1
    with pytest.raises(InputError) as error:
        build("magic")
    assert all(word.shown in str(error.value) for word in (*WORDS, *ENDINGS))


@pytest.mark.parametrize(
    ("specs", "fits"),
    [
        (["lmmse"], 1),
        (["lmmse", "lmmse+project"], 1),
        (["exemplar:1", "exemplar:2"], 1),
        (["lmmse", "exemplar:1", "exemplar:2+project"], 2),
    ],
)
def test_fitting_happens_once(specs, fits):
    degraded = []

    def degrade(key, x):
        degraded.append(x.shape)
        return DEGRADATION(key, x)

    build(*specs, degrade=degrade)
    assert len(degraded) == fits * len(IMAGES)


@pytest.mark.parametrize(
    "wrong", ["magic", "exemplar:-1", "nlm:0", "nowhere.py:f", "numpy:no_such_function", "photos-l2", "magic+project"]
)
@pytest.mark.parametrize("fitted", ["lmmse", "exemplar:0.1", "lmmse+project"])
def test_a_wrong_word_is_refused_before_anything_is_fitted(wrong, fitted):
    images = Images()
    with pytest.raises(InputError, match=r"restorers: (found|cannot)"):
        build(fitted, wrong, images=images)
    assert images.calls == 0


def test_projection_without_an_operator_is_refused_before_anything_is_fitted():
    images = Images()
    with pytest.raises(InputError, match=r"restorers: found 'lmmse\+project' with degradation 'realworld-x4'"):
        build("lmmse", "lmmse+project", images=images, degradation=parse_degradation("realworld-x4"))
    assert images.calls == 0


def test_defaults_fit_degradations_without_an_operator():
    names = default_restorers(parse_degradation("realworld-x4"), 3)
    assert names
    assert not any(name.endswith("+project") for name in names)


@pytest.mark.thorough
def test_tiny_training_images_get_smaller_patches():
    tiny = [np.random.default_rng(seed).random((8, 8, 3), np.float32) for seed in range(4)]
    restorers = build("lmmse", "exemplar:0.1", images=lambda: tiny)
    y = jnp.asarray(np.random.default_rng(5).random((1, 4, 4, 3), np.float32))
    assert {restore(y).shape for restore in restorers.values()} == {(1, 8, 8, 3)}


def test_the_key_decides_training_noise_and_exemplars():
    noisy = parse_degradation("average-x2+noise-0.1")
    first, again, other = (
        build("lmmse", degrade=noisy, degradation=noisy, key=jax.random.key(seed))["lmmse"](Y) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_images_are_cut_to_a_multiple_of_the_factor_and_keep_their_noise():
    seen = []

    def degrade(keys, x):
        seen.append((x.shape, jax.random.key_data(keys).tolist()))
        return DEGRADATION(keys, x)

    build("lmmse", "exemplar:1", degrade=degrade)
    assert [shape for shape, _ in seen] == [(1, 20, 24, 3), (1, 20, 26, 3)] * 2
    assert seen[:2] == seen[2:]  # both are fitted on the same measurements
    assert seen[0][1] != seen[1][1]


def test_one_channel_measurements_of_colour_images():
    gray = parse_degradation("grayscale")
    restorers = build("lmmse", "bicubic+project", degrade=gray, degradation=gray)
    for restore in restorers.values():
        assert restore(Y[..., :1]).shape == (1, 6, 5, 3)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["unheard"], "restorers: found 'unheard', expected one of nearest"),
        ([""], "restorers: found ''"),
        (["+project"], "restorers: found ''"),
        (["Bicubic"], "restorers: found 'Bicubic'"),
        (["bicubic+noise"], "restorers: found 'bicubic\\+noise'"),
        (["exemplar"], "restorers: found 'exemplar'"),
        (["exemplar:"], "restorers: found 'exemplar:'"),
        (["exemplar:0"], "restorers: found temperature 0 "),
        (["exemplar:-1"], "restorers: found temperature -1 "),
        (["exemplar:1e"], "restorers: found temperature 1e "),
        (["exemplar:1e999"], "restorers: found temperature 1e999 "),
        (["exemplar:nan"], "restorers: found 'exemplar:nan'"),
        (["exemplar:warm"], "restorers: found 'exemplar:warm'"),
        (["nearest", "bicubic", "nearest"], "restorers: found nearest more than once"),
        (["missing/file.py:restore"], "restorers: cannot open missing/file.py"),
        (["unheard_package.module:restore"], "restorers: cannot import 'unheard_package.module'"),
        (["json:unheard"], "restorers: found no function 'unheard' in json"),
        (["json:__name__"], "restorers: found no function '__name__' in json"),
    ],
)
def test_bad_specs_are_refused(specs, message):
    with pytest.raises(InputError, match=message) as error:
        build(*specs)
    assert "\n" not in str(error.value)


def write(folder, source: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(source)
    return str(path)


ZOOM = """
from dataclasses import dataclass
import jax.numpy as jnp

@dataclass
class Zoom:
    factor: int
    def __call__(self, y):
        return jnp.repeat(jnp.repeat(y, self.factor, 1), self.factor, 2) + 0.1

zoom = Zoom(2)
value = 3
"""


def test_a_function_from_a_file(tmp_path):
    path = write(tmp_path, ZOOM)
    restorers = build(f"{path}:zoom", f"{path}:zoom+project")
    np.testing.assert_array_equal(restorers[f"{path}:zoom"](Y), nearest(Y, factor=2) + 0.1)
    np.testing.assert_allclose(restorers[f"{path}:zoom+project"](Y), nearest(Y, factor=2), rtol=0, atol=FLOAT32)


def test_files_of_one_name_do_not_replace_each_other(tmp_path):
    specs = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        specs.append(write(folder, f"NUMBER = {number}\ndef number(y):\n    return NUMBER + 0 * y\n") + ":number")
    assert [float(restore(Y).mean()) for restore in build(*specs).values()] == [1, 2]


def test_a_function_from_a_module(tmp_path, monkeypatch):
    write(tmp_path, "def negative(y):\n    return -y\n", "own_restorers_of_a_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(build("own_restorers_of_a_test:negative")["own_restorers_of_a_test:negative"](Y), -Y)


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("x = 1 / 0", "zoom", "cannot import .* \\(ZeroDivisionError: division by zero\\)"),
        ("def zoom(:", "zoom", "cannot import .* \\(SyntaxError"),
        ("raise RuntimeError('first\\nsecond')", "zoom", "\\(RuntimeError: first\\)"),
        ("import unheard_package", "zoom", "ModuleNotFoundError"),
        ("other = 1", "zoom", "found no function 'zoom'"),
        ("zoom = 1", "zoom", "found no function 'zoom'"),
        ("", "zoom", "found no function 'zoom'"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, source, name, message):
    path = write(tmp_path, source)
    with pytest.raises(InputError, match=message) as error:
        build(f"{path}:{name}")
    assert "\n" not in str(error.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(InputError, match="restorers: found a folder at"):
        build(f"{tmp_path}/folder.py:zoom")


def test_no_training_images_is_an_error_of_fitted_restorers_only():
    with pytest.raises(InputError, match="pairs: found none"):
        build("lmmse", images=functools.partial(list, ()))
    assert list(build("bicubic", images=functools.partial(list, ()))) == ["bicubic"]
