"""Measures, attacks and degradations refuse what they cannot work on, in one line that names the argument.

The valid calls are those of the sweep over JAX's modes, which fails for a public function that it does not know. Each
array and number of a call is spoilt in turn; what is accepted on purpose is in `ACCEPTED`.
"""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from modes_exclusions import EXCLUDED
from modes_measures import MEASURES
from modes_programs import PROGRAMS

from jaxpr.core import InputError

PACKAGES = ("attacks", "metrics", "transport", "selection", "uncertainty", "degradations", "diffusion", "samplers")
CASES = {
    f"{package}.{name}": case
    for package in PACKAGES
    for name, case in (MEASURES | PROGRAMS)[package].items()
    if ":" not in name and not inspect.isclass(getattr(importlib.import_module(f"jaxpr.{package}"), name))
}

# Images whose values may be anything, or that may be intermediate: the result has their units or none.
ANY_UNITS = {
    *(f"attacks.{name}" for name in ("classify_gradient", "expected_output_shift", "gradient_status")),
    *(f"attacks.{name}" for name in ("lipschitz_ratio", "local_lipschitz", "output_shift", "range_coverage")),
    "attacks.shift_ratio",
    "degradations.gaussian_noise",
    "diffusion.gaussian_denoiser",
    "diffusion.mixture_denoiser",
    "metrics.crop_border",
    "metrics.extract_patches",
    "metrics.residual_noise",
    "uncertainty.local_blocks",
}
# (function, argument, what is wrong): why it is right.
ACCEPTED = {
    ("attacks.alpha_psnr", "alpha", "an array"): "one result for each",
    ("attacks.attack_sweep", "alphas", "integers"): "strengths",
    ("attacks.attack_sweep", "alphas", "a list"): "strengths",
    ("attacks.class_log_probability", "label", "-1"): "refused when called, where the number of classes is known",
    ("attacks.class_log_probability", "label", "an array"): "one for each example",
    ("attacks.epsilon_for_psnr", "psnr", "-1"): "decibels",
    ("attacks.farthest_from", "references", "one axis more"): "refused when called, where an output is known",
    **{("attacks.range_coverage", "outputs", fault): "as range_maps" for fault in ("NaN", "infinity")},
    ("attacks.range_coverage", "outputs", "one axis more"): "the message names the truth, which then does not fit",
    ("attacks.range_coverage", "truth", "NaN"): "NaN for that example",
    ("attacks.range_coverage", "truth", "infinity"): "outside of any range",
    ("attacks.range_maps", "outputs", "NaN"): "NaN for that pixel",
    ("attacks.range_maps", "outputs", "infinity"): "a range without an end",
    ("attacks.range_maps", "outputs", "one axis more"): "of any rank",
    **{("transport.gaussian_map", name, "one axis more"): "batches" for name in ("cov_source", "cov_target")},
    **{("transport.gaussian_w2", name, "one axis more"): "batches" for name in ("mean_a", "cov_a", "mean_b", "cov_b")},
    **{(f"transport.{name}", "p", "a fraction"): "any p" for name in ("sliced_wasserstein", "wasserstein_1d")},
    ("transport.transport_points", "alpha", "-1"): "extrapolates",
    ("selection.children", "node", "-1"): "the top",
    **{("uncertainty.entropy_power", "entropy", fault): "any shape" for fault in ("one axis more",)},
    **{("uncertainty.entropy_power", "entropy", fault): "by the formula" for fault in ("NaN", "infinity")},
    ("uncertainty.eta", "divergence", "infinity"): "the limit, 1",
    ("uncertainty.eta", "divergence", "one axis more"): "any shape",
    ("uncertainty.eta", "divergence", "integers"): "whole nats",
    **{("uncertainty.uncertainty_bounds", name, "an array"): "any shape" for name in ("divergence", "inherent")},
    ("uncertainty.uncertainty_bounds", "gaussian", "an array"): "any shape",
}


class Captured(Exception):
    """A valid call, instead of its result."""


def captured(name, monkeypatch):
    """The function of a case and the arguments of its valid call, by name."""
    package, _, function = name.partition(".")
    module = importlib.import_module(f"jaxpr.{package}")
    fn = getattr(module, function)

    def stop(*args, **options):
        raise Captured(inspect.signature(fn).bind(*args, **options))

    with monkeypatch.context() as patch:
        patch.setattr(module, function, stop)
        with pytest.raises(Captured) as caught:
            CASES[name]()
    return fn, caught.value.args[0]


def spoilt_array(array):
    host = np.asarray(array)
    dirty = host.copy()
    dirty.flat[dirty.size // 2] = np.nan
    yield "NaN", dirty
    infinite = host.copy()
    infinite.flat[-1] = np.inf
    yield "infinity", infinite
    yield "integers", np.nan_to_num(8 * host, posinf=9).astype(np.int32)
    yield "booleans", host > 0.5
    yield "a list", host.tolist()
    yield "words", "image.png"
    yield "nothing", None
    yield "one axis more", host[None]
    if host.ndim == 4:
        yield "0..255", 255 * host
        yield "one image", host[0]
        if host.shape[1] > 4:
            yield "NCHW", np.moveaxis(host, -1, 1)


def spoilt_number(value):
    yield "NaN", float("nan")
    yield "-1", -1 if isinstance(value, int) else -1.0
    yield "words", "2"
    yield "a boolean", True
    yield "an array", np.full(2, value)
    yield "a list", [value]
    if isinstance(value, int):
        yield "a fraction", value + 0.5


def spoilt(value):
    if isinstance(value, np.ndarray | jax.Array) and jnp.issubdtype(value.dtype, jnp.floating) and value.ndim:
        return spoilt_array(value)
    if isinstance(value, int | float | np.floating) and not isinstance(value, bool):
        return spoilt_number(value)
    return ()


@pytest.mark.parametrize("name", CASES)
def test_bad_arguments_are_refused_by_name(name, monkeypatch):
    fn, call = captured(name, monkeypatch)
    wrong = []
    for argument, value in call.arguments.items():
        for fault, bad in spoilt(value):
            if (name, argument, fault) in ACCEPTED or (fault == "0..255" and name in ANY_UNITS):
                continue
            bound = inspect.signature(fn).bind(*call.args, **call.kwargs)
            bound.arguments[argument] = bad
            try:
                fn(*bound.args, **bound.kwargs)
                wrong.append((name, argument, fault, "accepted"))
            except InputError as error:
                message = str(error)
                if argument not in message or "\n" in message or len(message) > 250:
                    wrong.append((name, argument, fault, message))
            except Exception as error:
                wrong.append((name, argument, fault, repr(error)[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def floats(value):
    return isinstance(value, np.ndarray | jax.Array) and jnp.issubdtype(value.dtype, jnp.floating) and value.ndim > 0


# These have results, which take seconds to compile.
SLOW = ("samplers.", "degradations.blind_face")
EDGES = [pytest.param(n, marks=[pytest.mark.thorough] if n.startswith(SLOW) else []) for n in CASES]


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_refused_or_have_a_result(name, monkeypatch):
    """No examples, zero and infinite numbers: an error that names the argument, or a result."""
    fn, call = captured(name, monkeypatch)
    wrong = []
    for argument, value in call.arguments.items():
        edges = [("no examples", np.asarray(value)[:0])] if floats(value) else []
        if isinstance(value, int | float | np.floating) and not isinstance(value, bool):
            edges += [("zero", type(value)(0)), ("infinite", float("inf")), ("minus infinite", -float("inf"))]
        for edge, bad in edges:
            bound = inspect.signature(fn).bind(*call.args, **call.kwargs)
            bound.arguments[argument] = bad
            try:
                fn(*bound.args, **bound.kwargs)
            except InputError as error:
                if argument not in str(error) or "\n" in str(error):
                    wrong.append((name, argument, edge, str(error)))
            except Exception as error:
                wrong.append((name, argument, edge, repr(error)[:200]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_refused_or_gives_about_the_same(name, dtype, monkeypatch):
    fn, call = captured(name, monkeypatch)
    if not any(floats(value) for value in call.arguments.values()):
        return
    bound = inspect.signature(fn).bind(*call.args, **call.kwargs)
    for argument, value in bound.arguments.items():
        if floats(value):
            bound.arguments[argument] = jnp.asarray(value).astype(dtype)
    try:
        found = fn(*bound.args, **bound.kwargs)
    except InputError:
        return
    whole = fn(*call.args, **call.kwargs)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        if not isinstance(other, np.ndarray | jax.Array | float) or not jnp.issubdtype(
            jnp.result_type(other), jnp.floating
        ):
            continue
        # Nothing overflows; finite values may differ by the rounding of the input, so that a step of nothing moves.
        defined = np.isfinite(np.asarray(other, np.float64))
        assert np.isfinite(np.asarray(one, np.float64))[defined].all(), (one, other)


def test_the_sweep_knows_every_function():
    for package in PACKAGES:
        module = importlib.import_module(f"jaxpr.{package}")
        functions = {f"{package}.{name}" for name in module.__all__ if inspect.isfunction(getattr(module, name))}
        assert functions - set(CASES) - set(EXCLUDED) == set()
    assert {name for name, *_ in ACCEPTED} <= set(CASES)
