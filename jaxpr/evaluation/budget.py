"""How long restorers that walk in steps will take, from a timed short walk; and as many steps as a budget allows."""

import bisect
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxpr.core import Array, InputError, Key, check_positive, read_json, users_code, utf8, write_atomically
from jaxpr.evaluation.devices import replicated, spread
from jaxpr.evaluation.draws import computation_of
from jaxpr.evaluation.stream import Run
from jaxpr.restorers import Restorer

__all__ = ["FEWEST_STEPS", "fitting", "foretell", "keep_steps", "time_text", "with_steps", "within_budget"]

FEWEST_STEPS = 10
"""A budget lowers steps no further."""

_TIMED_STEPS = 2
_LONG = 10.0  # seconds of work that are worth a line
_FILE = "steps.json"


def fitting(restorers: Mapping[str, Restorer], run: Run, *, seconds: float | None, out: Path) -> dict[str, Restorer]:
    """The restorers within a budget; without one, with the steps that an earlier run in the folder has chosen by one.

    Args:
        restorers: by name.
        run: examples and settings.
        seconds: see `within_budget`; None for no budget.
        out: folder of the run.
    """
    if seconds is not None:
        return within_budget(restorers, run, seconds=seconds, out=out)
    known = _recorded(out)
    free = {name: steps for name, steps in known.items() if name in restorers and not restorers[name].steps_chosen}
    return {name: with_steps(found, free[name]) if name in free else found for name, found in restorers.items()}


def within_budget(restorers: Mapping[str, Restorer], run: Run, *, seconds: float, out: Path) -> dict[str, Restorer]:
    """Lower the steps of samplers until all answers of each take at most so long, by a short timed walk.

    Steps that a run in the folder has chosen before stay, for the numbers depend on them; those that were asked for
    stay as well. None get fewer than `FEWEST_STEPS`, and members of a family, such as a guided and a plain one, get the
    same number, to be compared. An attack, where there is one, is not counted.

    Args:
        restorers: by name.
        run: examples and settings; with progress, stderr says what was chosen.
        seconds: for all answers of one restorer, without compilation.
        out: folder of the run.

    Returns:
        The restorers, some with other steps.

    Raises:
        InputError: seconds is not positive, there is no sampler whose steps may be chosen, or there are several
            processes, which would choose differently.
    """
    check_positive("budget", seconds, scalar=True)
    if jax.process_count() > 1:
        raise InputError("budget: found several processes, expected one, or the steps of each sampler")
    free = [name for name, found in restorers.items() if found.with_steps is not None and not found.steps_chosen]
    if not free:
        raise InputError("budget: found no sampler whose steps it could choose, expected one without steps of its own")
    recorded = _recorded(out)
    times = {name: _seconds_for_a_call(restorers[name], run) * _pieces(run) for name in free if name not in recorded}
    fitting = {name: _steps_within(restorers[name], seconds / time) for name, time in times.items()}
    known = {name: (recorded | fitting)[name] for name in free}
    changed = dict(restorers)
    for name in free:
        kin = [other for other in free if _family(restorers, other) == _family(restorers, name)]
        steps = known[name] if name in recorded else min(known[other] for other in kin)
        changed[name] = with_steps(restorers[name], steps)
        if run.progress:
            _say(f"{name}: {_choice(changed[name], restorers[name], times.get(name), seconds)}")
    return changed


def _family(restorers: Mapping[str, Restorer], name: str) -> str:
    return restorers[name].family or name


def _choice(found: Restorer, before: Restorer, a_call: float | None, seconds: float) -> str:
    """What was chosen, in words; no time where an earlier run has chosen."""
    if a_call is None:
        return f"{found.steps} steps, as this run began"
    return f"{found.steps} of {before.steps} steps, about {time_text(a_call * found.cost)} of {time_text(seconds)}"


def with_steps(found: Restorer, steps: int) -> Restorer:
    """The restorer with another number of steps; what it is called stays."""
    if found.with_steps is None:
        return found
    other = found.with_steps(steps)
    return replace(
        found,
        apply=other.apply,
        apply_set=other.apply_set,
        cost=other.cost,
        weights=other.weights,
        steps=other.steps,
        with_steps=other.with_steps,
    )


def keep_steps(out: Path, restorers: Mapping[str, Restorer]) -> None:
    """Write down the steps of samplers, which a budget chose, for the same run to go on with."""
    known = _recorded(out)
    free = {name: found.steps for name, found in restorers.items() if found.with_steps and not found.steps_chosen}
    if any(known.get(name) != steps for name, steps in free.items()):
        write_atomically(out / _FILE, utf8(json.dumps({**known, **free}, indent=2) + "\n"))


def foretell(restorers: Mapping[str, Restorer], run: Run, left: Mapping[str, int]) -> None:
    """Say on stderr how long samplers will take, where that is long.

    Args:
        restorers: by name; those that walk are timed.
        run: examples and settings.
        left: how many examples are still to be restored, by name.
    """
    for name, found in restorers.items():
        if found.with_steps is None or not left[name]:
            continue
        share = left[name] / len(run.examples)
        needed = _seconds_for_a_call(found, run) * found.cost * _pieces(run) * share
        if needed > _LONG:
            answers = left[name] * run.protocol.samples
            attacked = "" if found.differentiable is False else ", longer with the attack"
            _say(f"{name}: {found.cost} calls of its network × {answers} answers, about {time_text(needed)}{attacked}")


def time_text(seconds: float) -> str:
    """A length of time with a unit that suits it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def _recorded(out: Path) -> dict[str, int]:
    path = out / _FILE
    if not path.exists():
        return {}
    found = read_json("out", path, expected="the steps that an earlier run chose")
    return {str(name): steps for name, steps in found.items() if isinstance(steps, int) and steps > 0}


def _steps_within(found: Restorer, calls: float) -> int:
    """The most steps that need no more calls, but not fewer than the fewest."""
    allowed = range(min(FEWEST_STEPS, found.steps or 1), (found.steps or 1) + 1)
    fitting = bisect.bisect_right(allowed, calls, key=lambda steps: with_steps(found, steps).cost)
    return allowed[max(fitting - 1, 0)]


def _seconds_for_a_call(found: Restorer, run: Run) -> float:
    """Of one call of the network, for all answers to the measurements of one piece of the first shape."""
    short = with_steps(found, min(_TIMED_STEPS, found.steps or 1))
    computation, numbers = computation_of(short), run.first_piece()

    def draws(params: Any, keys: Key, y: Array) -> Array:
        return jnp.moveaxis(computation.draws(params, keys, y, count=run.protocol.samples), 0, 1)

    program, keys = spread(draws, shared=1), run.draw_keys[np.array(numbers)]
    inputs = replicated(short.params), keys, run.inputs(numbers)[1]
    with users_code("budget"):
        jax.block_until_ready(program(*inputs))  # compiles
        start = time.perf_counter()
        jax.block_until_ready(program(*inputs))
    return (time.perf_counter() - start) / short.cost


def _pieces(run: Run) -> float:
    """How many pieces as large as the first one the examples make."""
    shapes = run.examples.shapes
    return sum(
        math.ceil(count / run.piece(shape)) * math.prod(shape) / math.prod(shapes[0]) * run.piece(shape)
        for shape, count in Counter(shapes).items()
    ) / run.piece(shapes[0])
