"""What JAX calls unstable or private, and what differs between its versions (0.7.2 to 0.12): here and nowhere else.

Each function says which versions its lines are for. Primitives and programs are JAX's own way to say what no stable
function says: `custom_vjp` has no forward mode, `custom_derivatives.linear_call` has no `vmap` (to 0.12.0), and nothing
else reaches convolutions inside networks that users bring.
"""

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.experimental
import numpy as np
from jax.experimental import multihost_utils
from jax.extend import core
from jax.interpreters import ad, batching, mlir

__all__ = [
    "enable_x64",
    "forget_failed_callbacks",
    "instantiated",
    "is_zero",
    "lower_as",
    "lower_to_host",
    "new_primitive",
    "on_main_process",
    "same_result_as",
    "wait_for_processes",
    "with_primitive_swapped",
    "zero_like",
]

_ClosedProgram: Any = core.ClosedJaxpr
_OpenProgram: Any = core.Jaxpr  # the same class as the closed one since 0.12


def enable_x64(on: bool) -> AbstractContextManager[None]:
    """Float64 for the scope of a `with` statement, or for the scope without it."""
    place: Any = jax if hasattr(jax, "enable_x64") else jax.experimental  # 0.8.0 and newer; older
    return place.enable_x64(on)


def new_primitive(
    name: str,
    *,
    evaluate: Callable[..., Any],
    abstract: Callable[..., Any],
    batch: Callable[..., Any],
    bilinear: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
    derivative: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
) -> Any:
    """An operation of one result with rules of its own. `jax.extend` and `jax.interpreters`, the same in 0.7.2 to 0.12.

    Args:
        name: as programs print it.
        evaluate: computes the result from arrays.
        abstract: the result's abstract value from those of the operands.
        batch: from (operands, their mapped axes) to (result, its mapped axis).
        bilinear: of an operation that is linear in each of two operands: both transposes. Its derivatives follow.
        derivative: else: from (primals, tangents) to (result, its tangent).
        transpose: from the cotangent and the operands to the operands' cotangents.
    """
    primitive = core.Primitive(name)
    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batch
    if bilinear is not None:
        ad.defbilinear(primitive, *bilinear)
    if derivative is not None:
        ad.primitive_jvps[primitive] = derivative
    if transpose is not None:
        ad.primitive_transposes[primitive] = transpose
    return primitive


def same_result_as(primitive: Any) -> Callable[..., Any]:
    """The abstract evaluation of another primitive of one result."""
    return lambda *operands, **params: primitive.abstract_eval(*operands, **params)[0]


def lower_as(primitive: Any, fn: Callable[..., Any], *, platform: str | None = None) -> None:
    """Compile `primitive` as the JAX function `fn` on a platform; None for those without one of their own."""
    mlir.register_lowering(primitive, mlir.lower_fun(fn, multiple_results=False), platform=platform)


def lower_to_host(primitive: Any, call: Callable[..., Any], *, refused: Mapping[str, Exception]) -> None:
    """Compile `primitive` as a call of Python on the host; on the platforms in `refused`, raise the error there.

    Not `jax.pure_callback`: it copies the operands by another thread, which is not there when the devices of a CPU wait
    for each other, and so it hangs with sharded inputs.

    Args:
        primitive: made by `new_primitive`.
        call: from operands (array-like) and the primitive's parameters to the result, a NumPy array.
        refused: platform -> error.
    """

    def lower(context: Any, *operands: Any, **params: Any) -> Any:
        results, _, _ = mlir.emit_python_callback(
            context,
            lambda *arrays: (call(*arrays, **params),),
            None,
            list(operands),
            context.avals_in,
            context.avals_out,
            has_side_effect=False,
            returns_token=False,
            sharding=_callback_placement(context),
        )
        return results

    def refuse(error: Exception) -> Callable[..., Any]:
        def raise_it(context: Any, *operands: Any, **params: Any) -> Any:
            raise error

        return raise_it

    mlir.register_lowering(primitive, lower)
    for platform, error in refused.items():
        mlir.register_lowering(primitive, refuse(error), platform=platform)


def _callback_placement(context: Any) -> Any:
    """Where a callback runs: once on the whole batch under automatic sharding, on each shard inside `shard_map`."""
    try:
        from jax._src.callback import _callback_op_sharding  # private; 0.7.2 to 0.12
    except ImportError:  # then every device runs it on the whole batch: slower, same values
        return None
    return _callback_op_sharding(context.module_context.axis_context, None, context.avals_out)


def is_zero(tangent: Any) -> bool:
    """True for the tangent or cotangent of what is constant."""
    return type(tangent) is ad.Zero


def zero_like(value: Any) -> Any:
    """The symbolic zero cotangent of an operand."""
    return ad.Zero(value.aval)


def instantiated(tangent: Any) -> Any:
    """A tangent as an array also where it is a symbolic zero."""
    return ad.instantiate_zeros(tangent)


def with_primitive_swapped(fn: Callable[..., Any], old: Any, new: Any) -> Callable[..., Any]:
    """`fn` with each use of one primitive replaced by another of the same operands, parameters and result.

    Also inside `jit`, `scan`, `while`, `cond`, `checkpoint` and the primal parts of custom derivatives.
    """

    def swapped(*args: Any) -> Any:
        program, shape = jax.make_jaxpr(fn, return_shape=True)(*args)
        leaves = core.jaxpr_as_fun(_swap(program, old, new))(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return swapped


def _swap(value: Any, old: Any, new: Any) -> Any:
    """`value` with the primitive swapped in all programs it holds; the same object where it holds none."""
    if isinstance(value, _ClosedProgram) and not isinstance(value, _OpenProgram):
        inner = _swap(value.jaxpr, old, new)
        return value if inner is value.jaxpr else value.replace(jaxpr=inner)
    if isinstance(value, _OpenProgram):
        equations = [_swap_equation(equation, old, new) for equation in value.eqns]
        same = all(a is b for a, b in zip(equations, value.eqns, strict=True))
        return value if same else value.replace(eqns=equations)
    if type(value) in (tuple, list):
        items = [_swap(item, old, new) for item in value]
        same = all(a is b for a, b in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value


def _swap_equation(equation: Any, old: Any, new: Any) -> Any:
    if equation.primitive is old:
        return equation.replace(primitive=new)
    params = {name: _swap(value, old, new) for name, value in equation.params.items()}
    if all(params[name] is value for name, value in equation.params.items()):
        return equation
    return equation.replace(params=params)


def on_main_process(value: bool) -> bool:
    """What the main process passes, in every process. `multihost_utils`, the same in 0.7.2 to 0.12."""
    return bool(multihost_utils.broadcast_one_to_all(np.array(value)))


def wait_for_processes(name: str) -> None:
    """Return when every process has called this with the same name."""
    multihost_utils.sync_global_devices(name)


def forget_failed_callbacks() -> None:
    """Drop the record of callbacks that failed, which JAX would report once more when Python ends (0.7.2 to 0.12)."""
    try:
        dispatch = importlib.import_module("jax._src.dispatch")
        dispatch.runtime_tokens.clear()
    except (ImportError, AttributeError):  # another version: the report then comes
        return
