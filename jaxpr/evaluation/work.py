"""What is computed for a batch of examples of a run: of the natural images, of each restorer, of its probes."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, users_code
from jaxpr.degradations import Degradation
from jaxpr.evaluation.arrays import ProbeArrays, ReferenceArrays, RestorerArrays, stored
from jaxpr.evaluation.compiled import REFERENCE, Entered, most_telling
from jaxpr.evaluation.devices import replicated, spread
from jaxpr.evaluation.measure import (
    Programs,
    attack_scorer,
    natural_blocks,
    patch_classes,
    patch_features,
    scorer,
)
from jaxpr.evaluation.outputs import StoredOutputs, diversity_scorer
from jaxpr.evaluation.pictures import packed_pictures
from jaxpr.evaluation.planes import block_extractor
from jaxpr.evaluation.stream import Compute, Part, Run
from jaxpr.evaluation.trial import check_restored
from jaxpr.records.metric_info import ATTACK
from jaxpr.records.metric_table import of_source
from jaxpr.restorers import Restorer

__all__ = ["ceilings_of", "parts_of", "probed_restorers", "probes_of"]

_KEPT = 64  # attacked batches


def probes_of(name: str) -> str:
    """Of the store of a restorer's costly measures."""
    return f"{name} (probes)"


def probed_restorers(ready: Entered) -> list[str]:
    """Those whose costly measures are taken."""
    return [name for name, trial in ready.trials.items() if ready.run.probes and trial.differentiable]


def ceilings_of(restorers: Mapping[str, Restorer]) -> dict[str, Restorer]:
    """The autoencoders that restorers pass through, by the names of their stores; each is measured on the truth.

    Args:
        restorers: of a run.
    """
    found = [restorer.autoencoder for restorer in restorers.values() if restorer.autoencoder is not None]
    named = {json.dumps(dict(coder.weights or {}), sort_keys=True): coder for coder in found}
    return {f"D(E(x)) {hashlib.sha256(name.encode()).hexdigest()[:12]}": coder for name, coder in named.items()}


def parts_of(ready: Entered, degradation: Degradation) -> list[Part]:
    """The work on each restorer, in order, and last on the natural images, so that a first number is there soon.

    Args:
        ready: the run, and the restorers that passed their trial.
        degradation: made y.
    """
    work, probed, parts = _Work(ready.run, degradation), probed_restorers(ready), []
    attacked = functools.cache(lambda name: work.attacked(ready.trials[name].programs))
    for name, trial in ready.trials.items():
        compute = work.restorer(name, trial.programs) if trial.outputs is None else work.outputs(name, trial.outputs)
        parts.append(Part(name, compute))
        if name in probed:
            other = most_telling(ready.restorers, ready.trials, but=name)
            compute = work.probe(name, ready.compiled.probe(name), None if other is None else attacked(other))
            parts.append(Part(probes_of(name), compute, ready.run.probes))
    parts += [Part(name, work.ceiling(coder)) for name, coder in ceilings_of(ready.restorers).items()]
    return [*parts, Part(REFERENCE, work.reference())]


class _Work:
    """What is computed for a batch of examples: for the natural images, for a restorer, for a restorer's probes."""

    def __init__(self, run: Run, degradation: Degradation) -> None:
        protocol, factor = run.protocol, run.examples.factor
        size, stride, features = protocol.patches.size, protocol.patches.stride, protocol.patches.features
        self.run = run
        self.score, self.score_attack = scorer(degradation, protocol), attack_scorer()
        self.score_diversity = diversity_scorer(protocol)
        self.measured = not degradation.is_unknown or run.examples.low is not None
        self.features_y = patch_features(features, size=size, stride=stride)
        self.classes_x = patch_classes(features, size=factor * size, stride=factor * stride)
        self.blocks = block_extractor(protocol, factor)

    def reference(self) -> Compute:
        """Features, blocks and pictures of x and y."""

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = self.run.inputs(numbers)
            seen = self.classes_x(x)
            pictures = packed_pictures({"x": x, "y": y})
            blocks, natural = self.blocks(x, y), natural_blocks(x)
            # Where nothing is known of y, its features have no width, and measures of pairs are left out.
            of_y = self.features_y(y) if self.measured else np.zeros((*seen.features.shape[:-1], 0), np.float32)
            return stored(ReferenceArrays(seen.features, of_y, *blocks, seen.classes, natural, pictures))

        return compute

    def restorer(self, name: str, found: Programs) -> Compute:
        """Metrics, features, blocks and pictures of a restorer's outputs."""
        run = self.run

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            draw_keys, attack_keys = run.draw_keys[np.array(numbers)], run.attack_keys[np.array(numbers)]
            with users_code(f"restorer {name}"):
                draws = found.draws and jax.block_until_ready(found.draws(draw_keys, y))
                if draws is not None and found.sets:
                    restored = draws[:, 0]
                else:
                    restored = jax.block_until_ready(found.restore(draw_keys, y))
            for answers in (restored,) if draws is None else (restored, draws):
                check_restored(run, name, numbers, np.asarray(answers))
            with users_code(f"restorer {name}"):
                y_adv, gradient = found.attack(attack_keys, y)
                responses = found.respond and jax.block_until_ready(found.respond(draw_keys, y, y_adv))
            metrics: dict[str, AnyArray] = dict(self.score(x, y, restored))
            pictures = {"restored": restored}
            if responses is not None:
                metrics |= self.score_attack(y, y_adv, responses)
                pictures |= {"restored_adv": responses.restored_adv, "y_adv": y_adv}
            elif run.protocol.attack is not None:  # what cannot be attacked: the record says why there is nothing
                metrics |= dict.fromkeys(of_source(ATTACK), np.full(len(numbers), np.nan, np.float32))
                pictures |= {"restored_adv": restored, "y_adv": y}
            metrics |= {} if draws is None else self.score_diversity(draws)
            return self._restored(metrics, gradient, y, pictures)

        return compute

    def outputs(self, name: str, found: StoredOutputs) -> Compute:
        """The same of outputs from a folder, without an attack."""
        run, count = self.run, min(len(found.draws), self.run.protocol.samples)

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            restored = jnp.asarray(found.images(numbers))
            check_restored(run, name, numbers, np.asarray(restored))
            metrics: dict[str, AnyArray] = dict(self.score(x, y, restored))
            if count > 1:
                draws = np.stack([found.images(numbers, draw=draw) for draw in range(count)], axis=1)
                metrics |= self.score_diversity(jnp.asarray(draws))
            return self._restored(metrics, np.full(len(numbers), np.nan, np.float32), y, {"restored": restored})

        return compute

    def ceiling(self, coder: Restorer) -> Compute:
        """What an autoencoder makes of the truth, measured as a restoration that is not attacked."""
        run, params = self.run, replicated(coder.params)
        code = spread(lambda params, x: coder.apply(params, None, x), shared=1)

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            again = code(params, x)
            check_restored(run, "autoencoder", numbers, np.asarray(again))
            nothing = np.full(len(numbers), np.nan, np.float32)
            return self._restored(dict(self.score(x, y, again)), nothing, y, {"restored": again})

        return compute

    def _restored(
        self, metrics: dict[str, AnyArray], gradient: AnyArray, y: Array, pictures: dict[str, Array]
    ) -> dict[str, np.ndarray]:
        restored = pictures["restored"]
        seen, (blocks, _) = self.classes_x(restored), self.blocks(restored, y)
        natural, shown = natural_blocks(restored), packed_pictures(pictures)
        return stored(RestorerArrays(metrics, gradient, seen.features, blocks, seen.classes, natural, shown))

    def attacked(self, found: Programs) -> Callable[[tuple[int, ...]], Array]:
        """Examples to their measurements as they attack a restorer; what was computed for one other serves the next."""
        run = self.run

        @functools.lru_cache(maxsize=_KEPT)
        def compute(numbers: tuple[int, ...]) -> Array:
            return found.attack(run.attack_keys[np.array(numbers)], run.inputs(list(numbers))[1])[0]

        return compute

    def probe(
        self, name: str, program: Callable[..., ProbeArrays], attacked: Callable[[tuple[int, ...]], Array] | None
    ) -> Compute:
        """The costly measures of a restorer; `attacked` of another one, if there is one."""
        run = self.run
        wanted = run.protocol.attack is not None and run.protocol.probes.attack_checks

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            keys = run.attack_keys[np.array(numbers)]
            others = () if attacked is None or not wanted else (attacked(tuple(numbers)),)
            with users_code(f"restorer {name}"):
                return stored(program(keys, x, y, *others))

        return compute
