"""Trying a restorer before anything is written: dtype, layout, NaN, range, and whether an attack can see it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, Key, first_line, may_be_undefined, users_code
from jaxpr.evaluation.host import Transfer, host_programs
from jaxpr.evaluation.measure import Programs
from jaxpr.evaluation.outputs import StoredOutputs, stored_outputs
from jaxpr.evaluation.stream import Run
from jaxpr.restorers import Restorer, StoredRestorer

__all__ = [
    "Trial",
    "check_output",
    "check_range",
    "check_restored",
    "traceable",
    "try_on_host",
    "try_outputs",
    "try_restorer",
]


_ONLY_OUTPUTS = "undefined: only outputs are known, from a folder; nothing can be attacked"
_QUANTILES = (0.01, 0.99)
_SHARE = "98 % of it"
_BRIGHTEST = 2.0
_TOPS = (255, 1023, 4095, 65535)
_DECLARE = (
    "`restorers.in_range` declares another range, on the command line NAME+range:LOW:HIGH (y and x̂) or "
    "NAME+output:LOW:HIGH (x̂ alone)"
)


class Trial(NamedTuple):
    """What the first batch showed.

    Attributes:
        output: first restoration (H, W, C), by which the restorer is recognised in a later run.
        programs: the restorer's programs; with an attack that changes nothing if JAX cannot differentiate it.
        differentiable: can JAX differentiate it?
        outputs: its outputs, where they are all that is known of it.
        attack_note: what to know about its measures of an attack; "" for nothing.
    """

    output: np.ndarray
    programs: Programs
    differentiable: bool
    outputs: StoredOutputs | None = None
    attack_note: str = ""


def try_restorer(run: Run, name: str, found: Programs, *, differentiable: bool | None) -> Trial:
    """Run a restorer on the first examples.

    Args:
        run: examples and settings.
        name: of the restorer.
        found: its programs.
        differentiable: what it says of itself; it is tried unless it says no.

    Raises:
        InputError: it fails, or returns another shape, layout, dtype or range, or NaN.
    """
    numbers = run.first_piece()
    x, y = run.inputs(numbers)
    keys = run.draw_keys[np.array(numbers)]
    _check_output(name, found, keys, x, y)
    with users_code(f"restorer {name}"):
        restored = np.asarray(found.restore(keys, y))
    check_restored(run, name, numbers, restored)
    check_range(name, restored, np.asarray(x))
    attackable = differentiable is not False and _attackable(name, found, keys, y)
    programs = found if attackable else found._replace(attack=_no_attack, respond=None)
    return Trial(restored[0].astype(np.float32), programs, attackable)


def try_outputs(run: Run, name: str, restorer: StoredRestorer, found: Programs) -> Trial:
    """Find the outputs for the examples of a run in a folder, and look at the first.

    Args:
        run: examples and settings.
        name: of the restorer.
        restorer: with the folder.
        found: programs that are never called.

    Raises:
        InputError: see `stored_outputs`; outputs with NaN.
    """
    outputs = stored_outputs(name, restorer, run.examples)
    check_restored(run, name, [0], outputs.images([0]))
    return Trial(outputs.fingerprint, found, False, outputs, _ONLY_OUTPUTS)


def traceable(run: Run, found: Programs) -> bool:
    """Whether JAX can trace a restorer from y to x̂."""
    numbers = run.first_piece()
    _, y = run.inputs(numbers)
    try:
        jax.eval_shape(found.restore, run.draw_keys[np.array(numbers)], y)
    except InputError:
        return True  # it was traced so far that it refuses something: the trial says what
    except (Exception, SystemExit):
        return False
    return True


def try_on_host(
    run: Run, name: str, restorer: Restorer, transfer: Transfer | None, *, transferred: str | None
) -> Trial:
    """Run a restorer on NumPy arrays of the first examples.

    Args:
        run: examples and settings.
        name: of the restorer.
        restorer: it takes NumPy arrays.
        transfer: the attack on another restorer, whose perturbations it is tried with, too.
        transferred: the name of that one.

    Raises:
        InputError: it fails, or returns another shape, layout, dtype or range, or NaN.
    """
    found = host_programs(name, restorer, run.protocol, transfer)
    numbers = run.first_piece()
    x, y = run.inputs(numbers)
    restored: Any = found.restore(run.draw_keys[np.array(numbers)], y)
    check_output(name, restored, x.shape)
    check_restored(run, name, numbers, restored)
    check_range(name, restored, np.asarray(x))
    others = f" and perturbations that attack {transferred}" if transferred else ""
    note = f"a bound from below: it runs on the host, so random directions{others} were tried, no gradient"
    return Trial(restored[0].astype(np.float32), found, False, attack_note=note)


def _attackable(name: str, found: Programs, keys: Key, y: Array) -> bool:
    try:
        jax.eval_shape(found.attack, keys, y)
    except InputError as error:
        raise InputError(f"restorer {name}: {first_line(error)}") from error
    except (Exception, SystemExit):
        return False
    return True


@may_be_undefined
def _no_attack(_: Key, y: Array) -> tuple[Array, Array]:
    return y, jnp.full(y.shape[0], jnp.nan, y.dtype)


def _check_output(name: str, found: Programs, keys: Key, x: Array, y: Array) -> None:
    what = f"restorer {name}: measurements of shape {y.shape}"
    with users_code(what, expected="a function that JAX can trace from y to x̂, or from key and y to x̂"):
        output = jax.eval_shape(found.restore, keys, y)
    check_output(name, output, x.shape)


def check_output(name: str, output: Any, shape: tuple[int, ...]) -> None:
    """Raise unless what a restorer returns is a floating-point array of the shape of x.

    Args:
        name: of the restorer.
        output: an array, or what stands for one in a trace.
        shape: of x.

    Raises:
        InputError: integers, another size or layout, or no array.
    """
    found = getattr(output, "shape", None)
    if found is None:
        raise InputError(f"restorer {name}: found {type(output).__name__} for output, expected an array {shape}")
    if found != shape:
        n, height, width, channels = shape
        layout = ", which looks like NCHW" if found == (n, channels, height, width) else ""
        raise InputError(f"restorer {name}: found output of shape {found}{layout}, expected {shape}")
    if not jnp.issubdtype(output.dtype, jnp.floating):
        raise InputError(
            f"restorer {name}: found output of {output.dtype}, expected floating point in [0, 1]; {_DECLARE}"
        )


def check_range(name: str, restored: np.ndarray, x: np.ndarray) -> None:
    """Raise if restorations are likely in another range than [0, 1].

    Overshoot is allowed, and so are wild outputs; what is refused fits x much better once it is brought to [0, 1].

    Args:
        name: of the restorer.
        restored: x̂, (N, H, W, C), finite.
        x: of the same shape, in [0, 1].

    Raises:
        InputError: with how another range is declared.
    """
    low, high = (float(q) for q in np.quantile(restored, _QUANTILES))
    found = f"restorer {name}: found output from {low:.3g} to {high:.3g} ({_SHARE})"

    def error(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean((values - x) ** 2, dtype=np.float64)))

    for top in _TOPS:
        if high > _BRIGHTEST and -0.1 * high <= low and high <= 1.1 * top:
            if error(restored / top) < error(restored) / 2:
                raise InputError(f"{found}, which looks like 0 to {top}, expected [0, 1]; {_DECLARE}")
            break
    if -1.2 <= low < -0.1 and high <= 1.2 and error((restored + 1) / 2) < error(restored) / 2:
        raise InputError(f"{found}, which looks like -1 to 1, expected [0, 1]; {_DECLARE}")


def check_restored(run: Run, name: str, numbers: list[int], restored: np.ndarray) -> None:
    """Raise unless all restorations of these examples are finite.

    Raises:
        InputError: NaN or infinite values, with their number and the example's name.
    """
    for position, number in enumerate(numbers):
        if not np.isfinite(restored[position]).all():
            bad = int((~np.isfinite(restored[position])).sum())
            raise InputError(
                f"restorer {name}: found {bad} NaN or infinite values in the restoration of "
                f"{run.examples.name(number)}, expected none"
            )
