"""Types, checks at boundaries, keys, precision, files; `versions.py`, the one place for what JAX calls unstable."""

from jaxpr.core.checks import (
    InputError,
    check_count,
    check_examples,
    check_finite,
    check_floats,
    check_images,
    check_points,
    check_positive,
    check_same_shape,
    check_square,
    described,
    first_line,
    is_number,
    is_traced,
)
from jaxpr.core.chunks import map_chunks, scan
from jaxpr.core.code import code_sha256, experiments_folder, script_sha256
from jaxpr.core.extras import missing_extra
from jaxpr.core.files import TEMPORARY_PREFIX, check_folder, claim_folder, read_json, utf8, write_atomically
from jaxpr.core.keys import check_key, example_keys, seed_key
from jaxpr.core.modes import defined_where, floating_dtype, lenient_promotion, may_be_undefined
from jaxpr.core.paths import file_at, given_path
from jaxpr.core.plugins import load_named, load_python, users_code
from jaxpr.core.precision import HIGHEST, in_float64, is_float32, rounding_unit
from jaxpr.core.types import (
    AnyArray,
    Array,
    ArrayLike,
    Estimator,
    Features,
    Key,
    Objective,
    PerceptualNetwork,
    Sampler,
    Scale,
)
from jaxpr.core.words import did_you_mean, printable

__all__ = [
    "AnyArray",
    "Array",
    "ArrayLike",
    "Estimator",
    "Features",
    "HIGHEST",
    "InputError",
    "Key",
    "Objective",
    "PerceptualNetwork",
    "Sampler",
    "Scale",
    "TEMPORARY_PREFIX",
    "check_count",
    "check_folder",
    "check_examples",
    "check_finite",
    "check_floats",
    "check_images",
    "check_key",
    "check_points",
    "check_positive",
    "check_same_shape",
    "check_square",
    "claim_folder",
    "code_sha256",
    "defined_where",
    "did_you_mean",
    "described",
    "example_keys",
    "experiments_folder",
    "file_at",
    "first_line",
    "floating_dtype",
    "given_path",
    "in_float64",
    "is_float32",
    "is_number",
    "is_traced",
    "lenient_promotion",
    "load_python",
    "map_chunks",
    "may_be_undefined",
    "missing_extra",
    "printable",
    "read_json",
    "rounding_unit",
    "scan",
    "script_sha256",
    "seed_key",
    "users_code",
    "utf8",
    "write_atomically",
]
