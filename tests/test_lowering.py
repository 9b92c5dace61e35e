"""What is public and traceable lowers for TPU and CUDA: no calls back to the host, no float64 on a TPU, full products.

Lowered on a CPU and read as text, not compiled: that an accelerator runs it is not shown here.
"""

import functools
import importlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lowering_cases import CASES as FUNCTION_CASES
from lowering_cases import COV, MEAN, Case, floats, gradient
from lowering_exclusions import EXCLUDED, PART
from lowering_measures import CASES as MEASURE_CASES
from lowering_programs import CASES as PROGRAM_CASES
from lowering_samplers import CASES as SAMPLER_CASES
from test_api import FUNCTIONS

from jaxpr import transport
from jaxpr.core.versions import enable_x64

CASES = FUNCTION_CASES + MEASURE_CASES + PROGRAM_CASES + SAMPLER_CASES
NAMED = {name for case in CASES for name in case.names}
PUBLIC = {name.removeprefix("jaxpr."): value for name, value in FUNCTIONS.items()}
PLATFORMS = ("tpu", "cuda")
# Code outside the program that it may call. Those of the TPU's compiler are there in float32 only.
KNOWN_CALLS = {
    "tpu": {"Eigh", "LuDecomposition", "ProductOfElementaryHouseholderReflectors", "Qr"},
    "cuda": {"cu_lu_pivots_to_permutation", "cusolver_gesvdj_ffi", "cusolver_getrf_ffi", "cusolver_syevd_ffi"},
}
# Numbers that are reported: their products are not rounded to the bfloat16 of a TPU's default.
FULL_WIDTH = (
    "attacks.",
    "degradations.",
    "diffusion.",
    "toys.",
    "restorers.",
    "metrics.",
    "numerics.",
    "samplers.",
    "selection.",
)
FULL_WIDTH += ("transport.", "uncertainty.")
PRODUCTS = re.compile(r"stablehlo\.(?:dot_general|convolution)\b(?!.*HIGHEST).*f32.*")
TRAINED = "toys.gans."  # networks, as those of `models.`
# The caller's own convolution, in the precision that it asks for.
DEFAULT_WIDTH = {"numerics.convolution.conv"}


def lowered(fn, *arguments, platform):
    """The program's text. Not by `jax.export`, which fails where constants were hoisted out of programs (0.10.2)."""
    return jax.jit(fn).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def complaints(text: str, platform: str, *, full_width: bool) -> list[str]:
    """What an accelerator would not run, or not as it should."""
    calls = set(re.findall(r"custom_call @([\w.$]+)", text))
    found = [f"calls {name}" for name in sorted(calls - KNOWN_CALLS[platform])]
    if platform == "tpu" and re.search(r"\bf64\b|xf64\b", text):
        found.append("has float64")
    if full_width:
        found += [f"rounds {match[0][:80]}" for match in PRODUCTS.finditer(text)]
    return found


def title(case: Case) -> str:
    return case.names[0] + (f"+{len(case.names) - 1}" if len(case.names) > 1 else "")


@pytest.mark.versions
@pytest.mark.parametrize("case", CASES, ids=title)
def test_a_program_lowers_for_every_accelerator(case):
    fn, *arguments = case.make()
    exact = case.names[0].startswith(FULL_WIDTH) and not case.names[0].startswith(TRAINED)
    full_width = exact and not DEFAULT_WIDTH & set(case.names)
    texts = {platform: lowered(fn, *arguments, platform=platform) for platform in PLATFORMS}
    assert {p: complaints(text, p, full_width=full_width) for p, text in texts.items()} == {p: [] for p in PLATFORMS}


def excluded_by(name: str) -> set[str]:
    return {key for key in EXCLUDED if name == key or (key.endswith(".") and name.startswith(key))}


def test_every_public_function_is_in_the_table_or_excluded_with_a_reason():
    assert sorted(name for name in PUBLIC if name not in NAMED and not excluded_by(name)) == []


def test_no_exclusion_is_stale_and_none_hides_a_case():
    used = {key for name in PUBLIC if name not in NAMED for key in excluded_by(name)}
    assert sorted(set(EXCLUDED) - used) == []
    assert sorted(NAMED & set(EXCLUDED)) == []
    assert {reason.partition(":")[0] for reason in EXCLUDED.values()} == {"host", "static", PART}


@pytest.mark.parametrize("name", sorted(NAMED - set(PUBLIC)))
def test_what_else_the_table_names_is_public(name):
    module, _, member = f"jaxpr.{name}".rpartition(".")
    assert member in importlib.import_module(module).__all__


@pytest.mark.versions
@pytest.mark.slow
def test_the_table_goes_through_what_it_names_and_through_all_parts():
    """Seen by a profiler while everything is traced anew."""
    seen = set()
    jax.clear_caches()
    for case in CASES:
        sys.setprofile(lambda frame, event, _: seen.add(frame.f_code) if event == "call" else None)
        try:
            fn, *arguments = case.make()
            jax.eval_shape(lambda *given, fn=fn: fn(*given), *arguments)
        finally:
            sys.setprofile(None)
    wanted = {
        name: value
        for name, value in PUBLIC.items()
        if name in NAMED or any(EXCLUDED[key] == PART for key in excluded_by(name))
    }
    missed = {name for name, value in wanted.items() if value.__code__ not in seen}
    assert sorted(missed) == []


def callback(x):
    return jax.pure_callback(lambda a: np.asarray(a), jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@pytest.mark.versions
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_rules_themselves(platform):
    check = functools.partial(complaints, platform=platform, full_width=True)
    assert check(lowered(jnp.sin, MEAN, platform=platform)) == []
    assert check(lowered(jnp.matmul, COV, MEAN, platform=platform))[0].startswith("rounds stablehlo.dot_general")
    assert check(lowered(functools.partial(jnp.matmul, precision="highest"), COV, MEAN, platform=platform)) == []
    with pytest.raises(ValueError, match="platform"):  # JAX itself refuses to lower them for another machine
        lowered(callback, MEAN, platform=platform)
    assert check("stablehlo.custom_call @xla_python_cpu_callback(%0)") == ["calls xla_python_cpu_callback"]
    assert check("stablehlo.custom_call @lapack_ssyevd_ffi(%0)") == ["calls lapack_ssyevd_ffi"]


@pytest.mark.versions
def test_float64_is_seen_on_a_tpu():
    def wide(x):
        with enable_x64(True):
            return (x.astype("float64") + 1).astype("float32")

    assert complaints(lowered(wide, MEAN, platform="tpu"), "tpu", full_width=True) == ["has float64"]
    assert complaints(lowered(wide, MEAN, platform="cuda"), "cuda", full_width=True) == []


@pytest.mark.versions
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("wrap", [jax.vmap, lambda f: jax.vmap(gradient(f)), lambda f: jax.vmap(jax.jit(f))])
def test_transformed_gaussian_distance(wrap, platform):
    shapes = [floats(2, *part.shape) for part in (MEAN, COV, MEAN, COV)]
    text = lowered(wrap(transport.gaussian_w2), *shapes, platform=platform)
    assert complaints(text, platform, full_width=True) == []
