"""Whoever switched on one of JAX's modes gets the same numbers as without it, and no traceback.

Compiling each case again for each mode takes minutes, so by default all cases are only traced with 64-bit types and
strict promotion, which shows wide draws, wide results and forbidden promotions, and the cases at which a mode once
failed are run. `make test-all` runs all cases in all modes.
"""

import contextlib
import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from modes_exclusions import EXCLUDED, IN_FLOAT64, INSIDE, ON_HOST, RUN, TOLERANCES, UNTRAPPED
from modes_measures import MEASURES
from modes_networks import NETWORKS
from modes_programs import PROGRAMS

from jaxpr import weights
from jaxpr.attacks import ifgsm, lipschitz_ratio, output_shift
from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64

ROOMS = (*MEASURES, *PROGRAMS, *NETWORKS, "weights")


def home(room: str, name: str) -> str:
    """The room whose public name a case has; the tables group cases by what they are about."""
    public = name.partition(":")[0].partition(".")[0]
    rooms = (found for found in (room, *ROOMS) if public in importlib.import_module(f"jaxpr.{found}").__all__)
    return next(rooms, room)


CASES = {
    f"{home(room, name)}.{name}": case
    for table in (MEASURES, PROGRAMS, NETWORKS)
    for room, cases in table.items()
    for name, case in cases.items()
}


@contextlib.contextmanager
def promotion():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


MODES = {
    "x64": lambda: enable_x64(True),
    "debug_nans": lambda: jax.debug_nans(True),
    "disable_jit": lambda: jax.disable_jit(True),
    "promotion": promotion,
}
FLOAT32 = 1e-5  # relative and absolute; sums in another order


def leaves(case):
    """What a case gives, without any rank of an array being forbidden: `conftest.py` forbids them."""
    return [leaf if isinstance(leaf, str) else np.asarray(leaf) for leaf in jax.tree.leaves(case())]


@pytest.fixture(scope="module")
def expected():
    """What each case gives without any mode, computed once."""

    @functools.cache
    def of(name):
        with jax.numpy_rank_promotion("allow"):
            return leaves(CASES[name])

    return of


@pytest.fixture(scope="module")
def cached():
    """Networks that are made once are made outside of all traces."""
    weights.perceptual_network("alexnet")
    weights.digit_classifier("judge")


@pytest.mark.versions
@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("name", [name for name in CASES if name not in ON_HOST])
def test_draws_and_results_keep_their_width_and_nothing_is_promoted(name):
    with enable_x64(True), promotion():
        program = jax.make_jaxpr(CASES[name])()
    assert "bit_width=64" not in str(program)
    if name.partition(":")[0] not in IN_FLOAT64:
        assert jnp.float64 not in {found.dtype for found in program.out_avals}


def modes_of(name: str) -> list:
    """All modes; those that are not run by default are slow."""
    return [pytest.param(name, mode, marks=[] if mode in RUN.get(name, ()) else pytest.mark.slow) for mode in MODES]


@pytest.mark.versions
@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize(("name", "mode"), [case for name in CASES for case in modes_of(name)])
def test_same_numbers_in_every_mode(name, mode, expected):
    if mode == "debug_nans" and name in UNTRAPPED:
        pytest.skip(UNTRAPPED[name])
    wanted = expected(name)
    with jax.numpy_rank_promotion("allow"), MODES[mode]():
        found = leaves(CASES[name])
    assert len(found) == len(wanted)
    tolerance = TOLERANCES.get(name, FLOAT32)
    for a, b in zip(found, wanted, strict=True):
        if isinstance(b, str):
            assert a == b
            continue
        assert a.shape == b.shape
        # Without `jit` nothing is traced, and what computes in float64 on the host then does so.
        if b.dtype == np.float32 and mode != "disable_jit" and name.partition(":")[0] not in IN_FLOAT64:
            assert a.dtype == b.dtype
        np.testing.assert_allclose(np.float64(a), np.float64(b), rtol=tolerance, atol=tolerance)


def computing(package: str) -> set[str]:
    """The functions of a package, and the classes with methods."""
    module = importlib.import_module(f"jaxpr.{package}")
    found = set()
    for name in module.__all__:
        value = getattr(module, name)
        methods = [m for m in vars(value) if not m.startswith("_")] if inspect.isclass(value) else []
        own = any(inspect.isroutine(inspect.getattr_static(value, m)) for m in methods)
        if own or inspect.isfunction(value) or hasattr(value, "cache_info"):
            found.add(f"{package}.{name}")
    return found


def test_every_public_function_is_in_the_sweep_or_excluded_for_a_reason():
    swept = {name.partition(":")[0] for name in CASES}
    swept |= {name.rpartition(".")[0] for name in swept if name.count(".") == 2}
    public = set().union(*(computing(room) for room in ROOMS))
    assert public - swept - set(INSIDE) - set(EXCLUDED) == set()
    assert (set(INSIDE) | set(EXCLUDED)) & swept == set()
    assert set(INSIDE) | set(EXCLUDED) <= public
    assert set(INSIDE.values()) | IN_FLOAT64 <= swept
    assert ON_HOST | set(RUN) | set(TOLERANCES) | set(UNTRAPPED) <= set(CASES)


@pytest.mark.versions
def test_debug_nans_still_traps_what_is_not_documented():
    x = jnp.full((1, 4), 0.5)
    with jax.debug_nans(True):
        assert np.isnan(lipschitz_ratio(jnp.square, x, x)).all()
        with pytest.raises(FloatingPointError):
            lipschitz_ratio(lambda y: jnp.log(y - 1), x, x + 0.1)


@pytest.mark.versions
def test_legacy_keys_are_refused_by_name():
    y = jnp.full((1, 4), 0.5)
    with pytest.raises(InputError, match="key: found uint32"):
        ifgsm(jax.random.PRNGKey(0), output_shift(jnp.square, y), y, alpha=0.1, steps=1, bounds=None)
