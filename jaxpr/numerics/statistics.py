"""Means with standard errors, honest about examples that come in groups (crops of one photograph)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, InputError, Key, check_count

__all__ = [
    "Bootstrap",
    "Estimate",
    "Jackknife",
    "bootstrap",
    "grouped_mean",
    "jackknife",
    "jackknife_error",
    "means_without_each",
    "merged_labels",
    "without_each",
]

T = TypeVar("T")

# Resamples computed side by side; bounds the memory at so many times that of one statistic.
_TOGETHER = 16


class Estimate(NamedTuple):
    """A number and its uncertainty.

    Attributes:
        value: the estimate.
        stderr: its standard error; NaN where it cannot be estimated (fewer than two groups).
    """

    value: float
    stderr: float


class Jackknife(NamedTuple):
    """A number, its standard error, and what both are made of.

    Attributes:
        value: the estimate.
        stderr: its standard error; NaN where it cannot be estimated.
        left_out: the estimate without each group in turn; empty where there is none.
    """

    value: float
    stderr: float
    left_out: tuple[float, ...] = ()


class Bootstrap(NamedTuple):
    """A number, its bootstrap standard error and a percentile interval.

    Attributes:
        value: the statistic of the data, every example with weight one.
        stderr: sample standard deviation of the statistic over the resamples; NaN for one group.
        low: lower end of the percentile interval; NaN for one group.
        high: upper end.
    """

    value: float
    stderr: float
    low: float
    high: float

    @property
    def estimate(self) -> Estimate:
        """Value and standard error."""
        return Estimate(self.value, self.stderr)


def grouped_mean(values: AnyArray, groups: np.ndarray | None = None) -> Estimate:
    r"""Mean over all examples, with the standard error of a mean of dependent groups.

    Examples of one group (crops of one photograph) resemble each other, so they do not count as independent draws:
    $\mathrm{se}^2 = \frac{G}{G-1} \sum_g \big(\sum_{i \in g} (v_i - \bar v)\big)^2 / N^2$, which is the usual
    standard error of the mean when every example is its own group.

    Args:
        values: (N,).
        groups: (N,), integer or string label of each example's group; None makes every example its own group.

    Raises:
        InputError: empty, or lengths differ.
    """
    values = np.asarray(values, np.float64)
    groups = np.arange(values.size) if groups is None else np.asarray(groups)
    if values.ndim != 1 or values.size == 0 or groups.shape != values.shape:
        raise InputError(f"values: found shapes {values.shape} and {groups.shape}, expected (N,) twice, N >= 1")
    mean = values.mean()
    labels, index = np.unique(groups, return_inverse=True)
    count = len(labels)
    if count < 2 or not np.isfinite(mean):
        return Estimate(float(mean), float("nan"))
    sums = np.bincount(index, weights=values - mean)
    return Estimate(float(mean), float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / values.size))


def jackknife(statistic: Callable[[Sequence[T]], float], groups: Sequence[T]) -> Estimate:
    r"""A statistic of groups of data with its delete-one-group jackknife standard error (Efron and Stein 1981).

    $\mathrm{se}^2 = \frac{G-1}{G} \sum_g (\theta_{-g} - \bar\theta)^2$, where $\theta_{-g}$ leaves group g out.

    Args:
        statistic: maps a sequence of groups (for instance `Moments`) to a number.
        groups: the G groups.

    Raises:
        InputError: no groups.
    """
    if not groups:
        raise InputError("groups: found none, expected at least one")
    value, count = statistic(groups), len(groups)
    if count < 2:
        return Estimate(value, float("nan"))
    return Estimate(value, jackknife_error([statistic(others) for others in without_each(groups)]))


def means_without_each(values: AnyArray, groups: AnyArray) -> tuple[float, ...]:
    """Means (G,) of values (N,) without each of their G groups in turn; empty for fewer than two groups."""
    values, (labels, index) = np.asarray(values, np.float64), np.unique(np.asarray(groups), return_inverse=True)
    if len(labels) < 2:
        return ()
    sums, counts = np.bincount(index, weights=values), np.bincount(index)
    return tuple(float(mean) for mean in (values.sum() - sums) / (len(values) - counts))


def merged_labels(groups: AnyArray, *, most: int) -> np.ndarray:
    """Numbers of groups (N,), at most so many: neighbouring ones share a number if there are more."""
    _, index = np.unique(groups, return_inverse=True)
    count = int(np.max(index)) + 1
    return index if count <= most else index * most // count


def without_each(groups: Sequence[T]) -> Iterator[list[T]]:
    """The groups without the first, without the second, and so on."""
    return ([*groups[:g], *groups[g + 1 :]] for g in range(len(groups)))


def jackknife_error(left_out: AnyArray | Sequence[float]) -> float:
    """Standard error by the jackknife, of a statistic (G,) without each group in turn; see `jackknife`."""
    return float(np.sqrt((len(left_out) - 1) * np.var(np.asarray(left_out, float))))


def bootstrap(
    key: Key,
    statistic: Callable[[Any, Array], Array],
    values: Any,
    *,
    draws: int,
    groups: AnyArray | None = None,
    level: float = 0.95,
) -> Bootstrap:
    """Bootstrap of a weighted statistic (Efron 1979): groups (photographs) are drawn with replacement. Host only.

    Drawing an example three times is giving it weight three, so a resample is a vector of weights and all resamples
    share one compiled program. A statistic of resampled pairs of points, such as a nearest neighbour, has no weights
    and is not for the bootstrap: repeated points would be neighbours at distance zero. Use `jackknife` there.

    Args:
        key: from `jax.random.key`.
        statistic: maps (values, weights (N,) float32) to a scalar; must be traceable by JAX.
        values: array (N, ...) or a pytree of such arrays, given to `statistic` as they are.
        draws: number of resamples. Static.
        groups: (N,), integer or string label of each example's group; None makes every example its own group.
        level: probability of the percentile interval.

    Raises:
        InputError: no examples, lengths differ, draws < 2, or level not in (0, 1).
    """
    check_count("draws", draws, at_least=2)
    if not 0 < level < 1:
        raise InputError(f"level: found {level}, expected a probability between 0 and 1")
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(values)}
    if len(lengths) != 1 or lengths <= {(), (0,)}:
        raise InputError(f"values: found leading axes {sorted(lengths)}, expected one N >= 1 for all")
    ((count,),) = lengths
    if groups is not None and np.shape(groups) != (count,):
        raise InputError(f"groups: found shape {np.shape(groups)}, expected ({count},)")
    labels, index = np.unique(np.arange(count) if groups is None else np.asarray(groups), return_inverse=True)
    kinds = len(labels)

    def resampled(data: Any, member: Array, one: Key) -> Array:
        drawn = jax.random.randint(one, (kinds,), 0, kinds, jnp.int32)
        return statistic(data, jnp.zeros(kinds, jnp.float32).at[drawn].add(1)[member])

    def run(data: Any, member: Array, keys: Array) -> tuple[Array, Array]:
        together = min(_TOGETHER, draws)
        found = jax.lax.map(lambda one: resampled(data, member, one), keys, batch_size=together)
        return statistic(data, jnp.ones(count, jnp.float32)), found

    # Data as arguments: as constants of the program they would be folded while it compiles.
    whole, found = jax.jit(run)(jax.tree.map(jnp.asarray, values), jnp.asarray(index), jax.random.split(key, draws))
    value, found = float(whole), np.asarray(found, np.float64)
    if kinds < 2:
        return Bootstrap(value, *[float("nan")] * 3)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Bootstrap(value, float(found.std(ddof=1)), float(low), float(high))
