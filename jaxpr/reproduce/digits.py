"""The trained restorers of digits as the experiments on them take them.

Four kinds of GAN and one with the pixel loss for each task and seed, as `experiments/configs/digits.py` names them: the
packaged weights, or those in a folder of `jaxpr train digits`. Weights are arguments of compiled functions, so that
restorers of one network share one program.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr import metrics
from jaxpr.attacks import epsilon_for_psnr, input_psnr, l2_adam
from jaxpr.core import Array, InputError, Key, Objective, map_chunks
from jaxpr.degradations import LinearOperator, parse_degradation
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.numerics.errors import peak_ratio
from jaxpr.report.style import COLOURS, INK
from jaxpr.training import WEIGHTS, Crops, RestorerRecipe, RobustnessLoss, load_recipes
from jaxpr.weights import feature_extractor
from jaxpr.weights.packaged import packaged_restorer, read_restorer

ERRATIC, ROBUST = "deterministic erratic", "deterministic robust"
STO_ERRATIC, STO_ROBUST = "stochastic erratic", "stochastic robust"
PIXEL_LOSS = "deterministic ℓ1"
KINDS = {
    STO_ERRATIC: "stochastic-erratic",
    STO_ROBUST: "stochastic-robust",
    ERRATIC: "deterministic-erratic",
    ROBUST: "deterministic-robust",
    PIXEL_LOSS: "deterministic-l1",
}
LOOKS = dict(zip(KINDS, (COLOURS[5], COLOURS[0], COLOURS[1], COLOURS[4], INK), strict=True))
PAPER_RUNS = Path("runs/digits-paper")  # jaxpr train digits --scale paper --out runs/digits-paper
PAPER_TEST, PAPER_IMAGES = "tfds:celeb_a:test", 10_000
DIGIT = (8, 8, 1)
BATCH = 512  # examples at a time; 64 of them that are attacked at other sizes than digits'


class DigitTask(NamedTuple):
    """A degradation with the images that are degraded.

    Attributes:
        name: such as "average-x4".
        recipe: of its stochastic robust restorer, which has the degradation and the attack of all.
        operator: A.
        real: natural images (M, H, W, C) in [0, 1] that restored ones are compared with.
        x: natural images (N, H, W, C) of the test split.
        y: their measurements.
    """

    name: str
    recipe: RestorerRecipe
    operator: LinearOperator
    real: Array
    x: Array
    y: Array

    @property
    def attack(self) -> RobustnessLoss:
        """That of training (E.2.3)."""
        if self.recipe.losses.robustness is None:
            raise InputError(f"recipe {self.recipe.name}: found no robustness loss, expected one with its attack")
        return self.recipe.losses.robustness

    @property
    def epsilon(self) -> float:
        """Radius of the attack, intensity units times √(entries of y)."""
        return epsilon_for_psnr(self.attack.psnr, self.y.shape[1:], data_range=1.0)

    @property
    def on_digits(self) -> bool:
        """Whether images are digits of 8×8 pixels."""
        return self.x.shape[1:] == DIGIT

    def features(self, images: Array) -> Array:
        """Of images (N, H, W, C); (N, d)."""
        if self.on_digits:
            return images.reshape(images.shape[0], -1)
        return map_chunks(feature_extractor("alexnet").apply, images, size=BATCH)

    def joint(self, images: Array, y: Array) -> Array:
        """Features of images with those of measurements."""
        seen = y if self.on_digits else self.operator.pinv(y)
        return metrics.joint_features(self.features(images), self.features(seen))


class Sampling(NamedTuple):
    """A stochastic restorer, with its noise apart so that it is drawn once for many uses.

    Attributes:
        seeds: maps (key, y) to z, a tree of arrays with leading axis N.
        apply: maps (parameters, y, z) to x̂, each example on its own.
        stochastic: otherwise z makes no difference, and one draw is all.
    """

    seeds: Callable[[Key, Array], Any]
    apply: Callable[[Any, Array, Any], Array]
    stochastic: bool


class Family(NamedTuple):
    """Restorers of one task and kind.

    Attributes:
        config: what they are; equal configs mean equal functions.
        sampling: the functions.
        params: one tree of parameters for each seed.
    """

    config: RestorerConfig
    sampling: Sampling
    params: list[Any]


class Probed(NamedTuple):
    """What an attack does, and how draws differ; (P,) each.

    Attributes:
        spread: per-pixel standard deviation over draws.
        shift: r̃(y) of eq. (6), squared intensities summed over pixels.
        output_psnr: of attacked against unattacked outputs of the same seeds, eq. (9), dB.
        input_psnr: of attacked measurements, dB.
    """

    spread: Array
    shift: Array
    output_psnr: Array
    input_psnr: Array


def recipes_of(scale: str) -> dict[str, RestorerRecipe]:
    """By name: at scale smoke those of small, whose weights are packaged."""
    loaded = load_recipes("digits", "paper" if scale == "paper" else "small")
    return {name: recipe for name, recipe in loaded.items() if isinstance(recipe, RestorerRecipe)}


def tasks_of(recipes: dict[str, RestorerRecipe], wanted: Sequence[str] | None = None) -> list[DigitTask]:
    """The tasks of recipes with their images.

    Args:
        recipes: of `recipes_of`.
        wanted: names of tasks; None for all.

    Raises:
        InputError: the recipes have no such task.
    """
    end = f"-{KINDS[STO_ROBUST]}-0"
    found = {n.removeprefix("digits-").removesuffix(end): r for n, r in recipes.items() if n.endswith(end)}
    unknown = sorted(set(wanted or ()) - set(found))
    if unknown:
        raise InputError(f"wanted: found {', '.join(unknown)}, expected tasks among {', '.join(found)}")
    first = next(iter(found.values()))
    real = _images(first.data, "train")
    x = _images(first.data if first.data.source == "digits" else replace(first.data, source=PAPER_TEST), "test")
    made = []
    for name, recipe in found.items():
        if wanted is None or name in wanted:
            height, width, channels = x.shape[1:]
            operator = recipe.data.parsed().operator((height, width, channels))
            made.append(DigitTask(name, recipe, operator, real, x, operator(x)))
    return made


def seeds_of(recipes: dict[str, RestorerRecipe], most: int | None = None) -> list[int]:
    """Seeds with which the restorers were trained, the first `most` of them."""
    return sorted({recipe.seed for recipe in recipes.values()})[:most]


def prepared(
    scale: str, wanted: Sequence[str] | None, most: int, runs: Path | None
) -> tuple[list[DigitTask], list[int], Path | None]:
    """Tasks, seeds and the folder of runs that a script works with at a scale; at paper, by default `PAPER_RUNS`."""
    recipes = recipes_of(scale)
    runs = PAPER_RUNS if scale == "paper" and runs is None else runs
    return tasks_of(recipes, wanted), seeds_of(recipes, most), runs


def source(name: str, runs: Path | None) -> str | Path:
    """Of a restorer for `trained_restorer`: its name if it is packaged, or a file in a folder of `jaxpr train`."""
    return name if runs is None else runs / name / WEIGHTS


def family(task: DigitTask, kind: str, seeds: Sequence[int], runs: Path | None) -> Family:
    """Read the restorers of a kind, one for each seed.

    Args:
        task: whose degradation they undo.
        kind: of `KINDS`.
        seeds: numbers that end their names.
        runs: folder of `jaxpr train digits`; None for the packaged ones.

    Raises:
        InputError: one is missing, or is not what its name says.
    """
    if kind not in KINDS:
        raise InputError(f"kind: found {kind!r}, expected one of {', '.join(KINDS)}")
    names = [f"digits-{task.name}-{KINDS[kind]}-{seed}" for seed in seeds]
    files = [packaged_restorer(n) if runs is None else read_restorer(source(n, runs)) for n in names]
    config = files[0].packed.config
    wanted = task.recipe.data.degradation, True, KINDS[kind].startswith("stochastic")
    for name, file in zip(names, files, strict=True):
        found = file.packed.config.degradation, file.packed.config.consistent, file.packed.config.stochastic
        if found != wanted or file.packed.config != config:
            words = "(degradation, consistent, stochastic)"
            raise InputError(f"{name}: found {words} = {found}, expected {wanted} and one network for all seeds")
    made = restorer_network(config, operators=parse_degradation(config.degradation).operator)
    return Family(config, Sampling(made.seeds, made.apply, config.stochastic), [file.packed.params for file in files])


def shift_objective(sampling: Sampling, params: Any, y: Array, z: Any) -> Objective:
    r"""$E_Z \|G(y', Z) - G(y, Z)\|_2^2$ of eq. (6) for noise z that is given, (S, N, ...); see `expected_output_shift`.

    Noise that is drawn anew in each ascent step would cost more to compile than the network.
    """
    clean = jax.lax.stop_gradient(outputs(sampling, params, y, z))

    def objective(attacked: Array) -> Array:
        @jax.checkpoint
        def shift(pair: tuple[Any, Array]) -> Array:
            return jnp.sum(jnp.square(sampling.apply(params, attacked, pair[0]) - pair[1]), axis=(1, 2, 3))

        return jnp.mean(jax.lax.map(shift, (z, clean)), axis=0)

    return objective


def outputs(sampling: Sampling, params: Any, y: Array, z: Any) -> Array:
    """Restorations for each z; (S, N, H, W, C)."""
    return jax.lax.map(lambda one: sampling.apply(params, y, one), z)


def noise(sampling: Sampling, key: Key, y: Array, count: int) -> Any:
    """Draws of z, with axes (count, N, ...)."""
    return jax.vmap(sampling.seeds, in_axes=(0, None))(jax.random.split(key, count), y)


class DigitProgram:
    """A restorer's answers, compiled once for all its parameters.

    Args:
        task: what is restored.
        sampling: of the restorer.
        attack_draws: seeds of eq. (6); 10 in the paper. One if it is deterministic.
        draws: of which the spread is taken; 32 in the paper. None if it is deterministic.
    """

    def __init__(self, task: DigitTask, sampling: Sampling, *, attack_draws: int, draws: int) -> None:
        self.task, self.sampling = task, sampling
        self.attack_draws = attack_draws if sampling.stochastic else 1
        self.draws = draws if sampling.stochastic else 0
        self._restore = jax.jit(lambda key, params, y: sampling.apply(params, y, sampling.seeds(key, y)))
        self._probe = jax.jit(self._probed)

    def restore(self, key: Key, params: Any) -> Array:
        """One restoration of every measurement, (N, H, W, C)."""
        parts = _parts(self.task.y, BATCH)
        return jnp.concatenate([self._restore(jax.random.fold_in(key, i), params, y) for i, y in enumerate(parts)])

    def probe(self, key: Key, params: Any, count: int) -> Probed:
        """Attack the first `count` measurements, and draw from them.

        The attack is that of training (E.2.3): Adam in an ℓ2 ball, ascending the mean over `attack_draws` seeds. What
        it did is measured with as many other seeds, the same ones at y and at y + δ.
        """
        parts = _parts(self.task.y[:count], BATCH if self.task.on_digits else 64)
        found = [self._probe(jax.random.fold_in(key, i), params, y) for i, y in enumerate(parts)]
        return jax.tree.map(lambda *each: jnp.concatenate(each), *found)

    def _probed(self, key: Key, params: Any, y: Array) -> Probed:
        attack, seeds = self.task.attack, self.attack_draws
        k_noise, k_start = jax.random.split(key)
        z = noise(self.sampling, k_noise, y, 2 * seeds + self.draws)
        at_y = outputs(self.sampling, params, y, jax.tree.map(lambda a: a[seeds:], z))
        objective = shift_objective(self.sampling, params, y, jax.tree.map(lambda a: a[:seeds], z))
        steps, rate = attack.steps, attack.rate
        y_adv = l2_adam(k_start, objective, y, epsilon=self.task.epsilon, steps=steps, learning_rate=rate)
        attacked = outputs(self.sampling, params, y_adv, jax.tree.map(lambda a: a[seeds : 2 * seeds], z))
        shift = jnp.mean(jnp.sum(jnp.square(attacked - at_y[:seeds]), axis=(2, 3, 4)), axis=0)
        psnr = jax.vmap(functools.partial(peak_ratio, data_range=1.0))(attacked, at_y[:seeds])
        spread = metrics.per_pixel_std(at_y[seeds:]) if self.draws else jnp.zeros(y.shape[0], y.dtype)
        return Probed(spread, shift, jnp.mean(psnr, axis=0), input_psnr(y, y_adv, data_range=1.0))


class DigitPrograms:
    """A `DigitProgram` for each network of a task, made when it is first asked for; arguments as there."""

    def __init__(self, task: DigitTask, *, attack_draws: int, draws: int) -> None:
        self._task, self._options = task, {"attack_draws": attack_draws, "draws": draws}
        self._made: dict[RestorerConfig, DigitProgram] = {}

    def __call__(self, found: Family) -> DigitProgram:
        """That of a family."""
        if found.config not in self._made:
            self._made[found.config] = DigitProgram(self._task, found.sampling, **self._options)
        return self._made[found.config]


def _parts(y: Array, size: int) -> list[Array]:
    return [y[start : start + size] for start in range(0, y.shape[0], size)]


def _images(data: Crops, split: Literal["train", "test"]) -> Array:
    """The first images of a set, their central squares; (N, side, side, C)."""
    source, side = data.read(split), data.size
    found = []
    for image in source[: min(len(source), PAPER_IMAGES)]:
        top, left = ((length - side) // 2 for length in image.shape[:2])
        if min(top, left) < 0:
            raise InputError(f"{source.name}: found {image.shape[0]}×{image.shape[1]} pixels, expected {side} a side")
        found.append(image[top : top + side, left : left + side])
    return jnp.asarray(np.stack(found))
