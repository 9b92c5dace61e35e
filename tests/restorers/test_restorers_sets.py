"""Answers drawn as sets: what a set shares with single draws, guidance behind the words, presets and their refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.diffusion import gaussian_denoiser, linear_schedule
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.functional import Model
from jaxpr.restorers import Restorer, Training, as_restorer, build_restorers, consistent, from_host, in_range
from jaxpr.restorers.guided import PublishedGuidance, guidance_at, published_guidance
from jaxpr.restorers.priors import Prior
from jaxpr.restorers.sampled import SAMPLERS, sampled_restorer
from jaxpr.samplers import Guidance, guidance_preset
from jaxpr.weights.denoisers import pack_denoiser

SCHEDULE = linear_schedule()
AVERAGE, TOP = parse_degradation("average-x2"), parse_degradation("inpaint-top-0.5")
EXACT = gaussian_denoiser(mean=np.zeros((8, 6, 1)), variance=np.full((8, 6, 1), 0.1), schedule=SCHEDULE)
GAUSSIAN = Prior(
    Model(lambda key: {}, lambda params, x, t: EXACT(x, t).eps), {}, SCHEDULE, None, 1, 1, {"file": "none"}
)
Y = jax.random.uniform(jax.random.key(0), (2, 4, 3, 1), minval=0.3, maxval=0.7)
KEY = jax.random.key(1)
# The same numbers from programs of other shapes.
ROUNDING = 1e-5
FAR = Guidance(2.0, None)


def drawn(restorer, key=KEY, y=Y, *, count=3):
    return np.asarray(jax.jit(lambda k, m: restorer.draws(k, m, count=count))(key, y))


def words(spec, *, degradation=AVERAGE):
    training = Training(lambda: [], lambda keys, x: x, degradation, channels=1, dictionary=1, key=KEY)
    return build_restorers([spec], training)[spec]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    config = ADMUNetConfig(1, 32, 1, 1, (), (1, 1), num_head_channels=32)
    path = tmp_path_factory.mktemp("prior") / "weights.safetensors"
    path.write_bytes(pack_denoiser(config, adm_unet(config).init(KEY), {}, side=8, schedule="linear"))
    return path


@pytest.mark.parametrize("sampler", ["ddnm", *(pytest.param(s, marks=pytest.mark.thorough) for s in SAMPLERS)])
def test_a_set_has_the_single_draws_and_guidance_takes_the_same_noises(sampler):
    degradation, y = (TOP, jnp.tile(Y, (1, 2, 2, 1))) if sampler == "repaint" else (AVERAGE, Y)
    options = {"jump_length": 2, "jump_repeat": 2} if sampler == "repaint" else {}

    def made(guidance=None):
        return sampled_restorer(sampler, GAUSSIAN, degradation, steps=4, options=options, guidance=guidance)

    plain = drawn(made(), y=y)
    assert plain.shape[:2] == (3, 2)
    assert np.ptp(plain, axis=0).max() > 0.01
    # The first of a set is the single draw, however many there are: an answer does not depend on the others.
    np.testing.assert_allclose(plain[0], jax.jit(made())(KEY, y), atol=ROUNDING)
    # A limit that no pair keeps leaves nothing of guidance but its program: with the same noises the same set.
    np.testing.assert_allclose(drawn(made(Guidance(0.8, 1e-9)), y=y), plain, atol=ROUNDING)
    pushed = drawn(made(FAR), y=y)
    assert np.std(pushed, axis=0).mean() > 1.05 * np.std(plain, axis=0).mean()


@pytest.mark.thorough
def test_the_set_of_an_image_does_not_depend_on_its_batch():
    keys = jax.random.split(KEY, 2)
    restorer = sampled_restorer("ddrm", GAUSSIAN, AVERAGE, steps=3, guidance=FAR)
    np.testing.assert_allclose(drawn(restorer, keys)[:, 1:], drawn(restorer, keys[1:], Y[1:]), atol=ROUNDING)


def test_guided_answers_come_in_sets():
    restorer = sampled_restorer("ddrm", GAUSSIAN, AVERAGE, steps=3, guidance=FAR)
    with pytest.raises(InputError, match=r"found a single draw of a set, expected draws\(key, y, count=\)"):
        restorer(KEY, Y)
    with pytest.raises(InputError, match="samples: found 1, expected at least 2 with guidance"):
        restorer.draws(KEY, Y, count=1)
    with pytest.raises(InputError, match="count: found 0"):
        restorer.draws(KEY, Y, count=0)


def test_every_restorer_has_draws():
    def noisy(key, y):
        return y + jax.random.normal(key, y.shape)

    keys = jax.random.split(KEY, 2)
    found = as_restorer("noisy", noisy).draws(keys, Y, count=3)
    expected = [[noisy(jax.random.fold_in(key, i), Y[n : n + 1])[0] for n, key in enumerate(keys)] for i in range(3)]
    np.testing.assert_allclose(found, np.array(expected), atol=1e-6)
    np.testing.assert_allclose(as_restorer("noisy", noisy).draws(keys, Y, count=1), found[:1], atol=1e-6)
    on_host = from_host(lambda key, y: np.asarray(noisy(key, y)))
    np.testing.assert_allclose(on_host.draws(keys, np.asarray(Y), count=3), found, atol=1e-6)
    plain = as_restorer("plain", lambda y: 2 * y).draws(KEY, Y, count=3)
    np.testing.assert_array_equal(plain, np.broadcast_to(2 * Y, (3, *Y.shape)))


def doubled(params, keys, y, count):
    """Twice as large as y in both directions, each draw brighter than the last."""
    large = jnp.repeat(jnp.repeat(y, 2, axis=1), 2, axis=2)
    return large[None] + 0.1 * jnp.arange(count).reshape(-1, 1, 1, 1, 1)


def with_steps(steps):
    one = lambda params, key, y: doubled(params, key, y, 1)[0]  # noqa: E731
    return Restorer(one, stochastic=True, cost=steps, apply_set=doubled, steps=steps, with_steps=with_steps)


def test_what_is_done_around_a_restorer_is_done_to_its_sets():
    operator = AVERAGE.operator((8, 6, 1))
    found = consistent(with_steps(9), AVERAGE)
    for restorer in (found, found.with_steps(2)):
        answers = restorer.draws(KEY, Y, count=3)
        assert answers.shape == (3, 2, 8, 6, 1)
        np.testing.assert_allclose(operator(answers[2]), Y, atol=1e-6)
    assert (found.steps, found.with_steps(2).steps, found.with_steps(2).variant) == (9, 2, None)
    signed = in_range(with_steps(9), -1, 1).draws(KEY, Y, count=2)
    np.testing.assert_allclose(signed, (doubled((), KEY, 2 * Y - 1, 2) + 1) / 2, atol=1e-6)


@pytest.mark.thorough
def test_a_guided_sampler_projected_agrees_with_y():
    restorer = sampled_restorer("dps", GAUSSIAN, AVERAGE, steps=3, guidance=FAR)
    operator, found = AVERAGE.operator((8, 6, 1)), consistent(restorer, AVERAGE)
    assert np.abs(operator(drawn(restorer)[1]) - Y).max() > 1e-3
    np.testing.assert_allclose(operator(drawn(found)[1]), Y, atol=1e-6)
    assert found.variant == "guidance+project"
    shorter = found.with_steps(2)
    assert (shorter.steps, shorter.cost, shorter.weights["steps"]) == (2, 2, 2)
    np.testing.assert_allclose(operator(drawn(shorter)[2]), Y, atol=1e-6)


def test_sets_are_of_stochastic_restorers():
    def sets(params, keys, y, count):
        return jnp.broadcast_to(y, (count, *y.shape))

    with pytest.raises(InputError, match="apply_set: found a deterministic restorer"):
        Restorer(lambda params, key, y: y, apply_set=sets)
    with pytest.raises(InputError, match="together: found no apply_set, expected one"):
        Restorer(lambda params, key, y: y, stochastic=True, together=True)
    with pytest.raises(InputError, match="apply_set: found int, expected a callable"):
        Restorer(lambda params, key, y: y, stochastic=True, apply_set=3)


@pytest.mark.thorough
def test_guidance_behind_a_word(weights):
    restorer = words(f"ddrm:{weights}?steps=3+guidance")
    assert restorer.weights["guidance"] == {
        "preset": "faces-x16",
        "eta": 0.8,
        "distance": 4e-4,
        "convention": "paper",
    }
    assert (restorer.family, restorer.variant) == (f"ddrm:{weights}?steps=3", "guidance")
    assert restorer.steps_chosen
    assert not words(f"ddrm:{weights}").steps_chosen
    chosen = words(f"ddnm:{weights}+guidance:0.5:none+project", degradation=parse_degradation("average-x2+noise-0.1"))
    assert chosen.weights["guidance"] == {"eta": 0.5, "distance": None, "convention": "paper"}
    assert chosen.variant == "guidance+project"
    assert chosen.together


@pytest.mark.parametrize(
    ("word", "degradation", "expected"),
    [
        ("ddnm:{}+guidance", "average-x2+noise-0.1", "found nothing published for ddnm with .*, expected its numbers"),
        ("ddrm:{}+guidance", "inpaint-top-0.5", "found nothing published for ddrm"),
        ("dps:{}+guidance", "blur-1", "found nothing published for dps"),
        ("ddrm:{}+guidance:much:1", "average-x2", "eta: found 'much', expected a number"),
        ("ddrm:{}+guidance:1:-1", "average-x2", "distance: found -1.0"),
        ("ddrm:{}+guidance:1", "average-x2", "found no file .*guidance:1"),
        ("ddrm:{}+project+guidance", "average-x2", "found no sampler or one that was changed, expected it right behin"),
        ("ddrm:{}+guidance+guidance", "average-x2", "guidance: found it twice"),
        ("ddrm:{}?attack=yes+guidance", "average-x2", "found attack=yes, expected attack=no"),
        ("nearest+guidance", "average-x2", r"found no sampler, expected \+guidance right behind one of ddrm, ddnm"),
    ],
)
def test_guidance_is_refused_in_one_line(weights, word, degradation, expected):
    with pytest.raises(InputError, match="restorers: .*" + expected) as error:
        words(word.format(weights), degradation=parse_degradation(degradation))
    assert "\n" not in str(error.value)


def test_published_settings_go_by_sampler_and_degradation():
    cases = {
        ("ddrm", "bicubic-x4"): "objects-x4",
        ("dps", "bicubic-x4+noise-0.05"): "objects-x4-noisy",
        ("dps", "average-x16+noise-0.05"): "faces-x16-noisy",
        ("ddnm", "bicubic-x8"): "faces-x16",
        ("repaint", "inpaint-center-0.5"): "faces-inpainting",
    }
    for (sampler, name), task in cases.items():
        found = published_guidance(sampler, parse_degradation(name))
        assert found == PublishedGuidance(task, guidance_preset(sampler, task))
        assert guidance_at(found, (256, 256, 3)) == guidance_preset(sampler, task)


def test_a_published_distance_means_the_same_difference_per_entry_at_any_size():
    found = PublishedGuidance("faces-x16", Guidance(0.8, 4e-4))
    for shape in ((28, 28, 1), (64, 64, 3)):
        entries, whole = np.prod(shape), 256 * 256 * 3
        # Root mean square: √(S · mean square) / S ≤ D.
        assert found.at(shape).distance * np.sqrt(entries) == pytest.approx(4e-4 * np.sqrt(whole))
    assert guidance_at(FAR, (28, 28, 1)) is FAR
    assert guidance_at(None, (28, 28, 1)) is None
