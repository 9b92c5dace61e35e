"""Restorers on the host in an evaluation: called on NumPy arrays, and disturbed without a gradient.

K̄ is then a bound from below: the largest ratio that random directions, and the perturbations that attack another
restorer, have reached.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Key, users_code
from jaxpr.evaluation.ascents import L2Adam
from jaxpr.evaluation.measure import Programs, Responses
from jaxpr.evaluation.protocol import Protocol
from jaxpr.metrics import psnr
from jaxpr.restorers import Restorer

__all__ = ["Transfer", "called", "host_programs"]

Transfer: TypeAlias = Callable[[Key, Any], tuple[Any, Any]]
"""`(keys, y) -> (y_adv, gradient)` of another restorer."""

_TINY = 1e-12


def called(name: str, restorer: Restorer, keys: Key, y: Any, *, draw: int = 0) -> Any:
    """What a restorer on the host makes of y, (N, H, W, C), with one key per example; float32 if it is floating-point.

    Args:
        name: of the restorer, for messages.
        restorer: its `apply` takes NumPy arrays.
        keys: (N,).
        y: (N, h, w, C).
        draw: number of the draw, of a stochastic one.

    Raises:
        InputError: the restorer fails.
    """
    y = np.asarray(y)
    with users_code(f"restorer {name}: measurements of shape {y.shape}"):
        if not restorer.stochastic:
            return _plain(restorer.apply(restorer.params, None, y))
        drawn = [jax.random.fold_in(key, draw) for key in keys]
        each = [_plain(restorer.apply(restorer.params, key, y[i : i + 1])) for i, key in enumerate(drawn)]
        return np.concatenate(each)


def host_programs(name: str, restorer: Restorer, protocol: Protocol, transfer: Transfer | None) -> Programs:
    """Functions in place of the compiled programs.

    Args:
        name: of the restorer.
        restorer: on the host.
        protocol: the settings; as many random directions are tried as its attack has steps.
        transfer: the attack on another restorer of the run; None if there is none.
    """
    draws = protocol.attack_draws if restorer.stochastic else 1

    def answers(keys: Key, y: Any, count: int) -> np.ndarray:
        return np.stack([called(name, restorer, keys, y, draw=draw) for draw in range(count)])

    def attack(keys: Key, y: Any) -> tuple[Any, Any]:
        y = np.asarray(y)
        seen, before = np.ones(len(y), np.float32), answers(keys, y, draws)
        found, most = y, np.full(len(y), -1.0)
        for near in () if protocol.attack is None else _near(protocol, keys, y, transfer):
            after = answers(keys, near, draws)
            ratio = np.sqrt(np.mean(_squares(after - before), axis=0)) / np.maximum(_norms(near - y), _TINY)
            better = ratio > most
            found, most = np.where(_over(better, y), near, found), np.where(better, ratio, most)
        return found, seen

    def respond(keys: Key, y: Any, y_adv: Any) -> Responses:
        before, after = answers(keys, y, draws), answers(keys, y_adv, draws)
        shift = np.sqrt(np.mean(_squares(after - before), axis=0))
        level = jax.vmap(functools.partial(psnr, data_range=1.0))(jnp.asarray(after), jnp.asarray(before))
        return Responses(jnp.asarray(shift, jnp.float32), jnp.mean(level, axis=0), jnp.asarray(after[0]))

    def several(keys: Key, y: Any) -> Any:
        return jnp.asarray(np.moveaxis(answers(keys, y, protocol.samples), 0, 1))

    return Programs(
        lambda keys, y: called(name, restorer, keys, y),
        attack,
        respond if protocol.attack is not None else None,
        several if restorer.stochastic else None,
    )


def _near(protocol: Protocol, keys: Key, y: np.ndarray, transfer: Transfer | None) -> Iterator[np.ndarray]:
    """Measurements as far from y as the attack may go: in random directions, and those that attack another restorer."""
    attack = protocol.attack
    if attack is None:
        return
    for number in range(attack.steps):
        drawn = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1 + number), y.shape[1:]))(keys)  # noqa: B023
        direction = np.asarray(drawn)
        if isinstance(attack, L2Adam):
            step = attack.epsilon * direction / _over(_norms(direction), y)
        else:
            step = attack.alpha * np.sign(direction)
        yield _inside(protocol, y + step.astype(y.dtype))
    if transfer is not None:
        yield np.asarray(transfer(keys, y)[0])


def _inside(protocol: Protocol, y: np.ndarray) -> np.ndarray:
    return y if protocol.bounds is None else np.clip(y, *protocol.bounds)


def _plain(output: Any) -> Any:
    """As NumPy has it; half and double precision in single."""
    array = np.asarray(output)
    return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array


def _squares(images: np.ndarray) -> np.ndarray:
    return np.sum(np.square(images, dtype=np.float64), axis=(-3, -2, -1))


def _norms(images: np.ndarray) -> np.ndarray:
    return np.sqrt(_squares(images))


def _over(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *(1,) * (images.ndim - 1))
