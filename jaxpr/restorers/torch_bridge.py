"""PyTorch restorers as estimators: values and exact derivatives computed by torch, inside any JAX program.

Images are NHWC in JAX and NCHW in torch. torch runs on the host, called back from the compiled program, on the device
and in the dtype of the module's own parameters; on a TPU there are no such callbacks. torch is an extra, imported here
only when a module is wrapped.

One primitive stands for the module and for its two derivatives: `value` f(y), `push` J(y) t by torch's forward mode and
`pull` J(y)ᵀ u by its reverse mode. The derivative of `value` is `push`; `push` and `pull` are each other's transposes.
So `jvp`, `vjp`, `linear_transpose` and everything that JAX builds from them (attacks, spectral norms) need no more.
"""

import contextlib
import functools
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, check_count, check_images, first_line, missing_extra
from jaxpr.core.versions import instantiated, is_zero, lower_to_host, new_primitive, zero_like
from jaxpr.restorers.restorer import Restorer

__all__ = ["from_torch"]

Product = Literal["value", "push", "pull"]
Shape = tuple[int, ...]

_TRANSPOSED: dict[Product, Product] = {"push": "pull", "pull": "push"}
_TPU = (
    "module: found a TPU, expected a CPU or GPU, since torch is called back on the host; run inside "
    "`with jax.default_device(jax.devices('cpu')[0])`, or use a network of `jaxpr.models`"
)


def from_torch(
    module: Any,
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    bgr: bool = False,
    select: Callable[[Any], Any] | None = None,
    batch_size: int | None = None,
) -> Restorer:
    """A `torch.nn.Module` as an estimator that attacks and evaluations take like any other.

    It jits, vmaps (one call of torch for all), runs in `scan` and with sharded inputs, and has first derivatives in
    both modes. What else a module needs (padding, other normalisation, a noise map) goes into a module or a JAX
    function around it.

    Note:
        The module itself is run, not a copy: later changes of its parameters or device are seen by programs that are
        already compiled. It always runs in evaluation mode; training flags are put back after each call. Its parameters
        get no gradients. It must be deterministic. Calls from several devices or threads wait for each other. On a GPU,
        torch may round convolutions to TF32 (`torch.backends.cudnn.allow_tf32`).
        For each new image shape the module runs once on zeros, and once more for each kind of derivative asked for.
        A derivative goes through the module again; nothing is kept between calls. Values cross in float32.

    Args:
        module: maps images (N, C, H, W) to restorations (N, c, h, w), each example on its own.
        value_range: the module's numbers for intensities 0 and 1, of its input and of its output: (0, 255), (-1, 1).
        bgr: channels of its input and output are in the order blue, green, red.
        select: takes the restoration out of what the module returns, for example `lambda out: out[0]`.
        batch_size: most images that torch sees at a time, which bounds its memory; None for all that come.

    Returns:
        Deterministic restorer y (N, H, W, C) -> x̂ (N, h, w, c) in the dtype of y; not clipped, NaN as torch gives it.
        Where the module cuts its own gradient (`detach`, `no_grad`), the gradient is zero.

    Raises:
        InputError: torch is not installed, not a module, or bad options. When called: y is not float NHWC, the module
            fails on such images or returns no floating tensor (N, c, h, w), or the program is for a TPU.
        TypeError: when differentiated: torch has no such derivative of the module, or a second derivative.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_extra("module", "torch") from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"module: found {type(module).__name__}, expected a torch.nn.Module")
    low, high = value_range
    if not -np.inf < low < high < np.inf:
        raise InputError(f"value_range: found {value_range}, expected (low, high) with low < high")
    if batch_size is not None:
        check_count("batch_size", batch_size)
    host = _Host(torch, module, select, batch_size)

    def restored(_: Any, __: Any, y: Array) -> Array:
        y = jnp.asarray(y)
        check_images("y", y, data_range=None)
        if bgr and y.shape[-1] not in (1, 3):
            raise InputError(f"y: found {y.shape[-1]} channels, expected 1 or 3 to turn RGB into BGR")
        host.output_shape(y.shape[1:])
        order = -1 if bgr else 1
        x = _module_p.bind(low + (high - low) * y.astype(jnp.float32)[..., ::order], host=host, product="value")
        return ((x[..., ::order] - low) / (high - low)).astype(y.dtype)

    return Restorer(restored, label=type(module).__name__)


class _Host:
    """The module and its derivatives as functions of NumPy batches, NHWC float32; compared by identity."""

    def __init__(self, torch: Any, module: Any, select: Callable[[Any], Any] | None, batch_size: int | None) -> None:
        self._torch, self._module, self._batch_size = torch, module, batch_size
        self._select = select or (lambda output: output)
        self._products: dict[Product, Callable[..., Any]] = {
            "value": self._value,
            "push": self._push,
            "pull": self._pull,
        }
        # Modules may keep state while they run, and torch itself uses all cores.
        self._lock = threading.Lock()
        self._shapes: dict[Shape, Shape] = {}
        self._possible: set[tuple[Product, Shape]] = set()

    def output_shape(self, shape: Shape) -> Shape:
        """(h, w, c) of the restoration of an image (H, W, C)."""
        if shape not in self._shapes:
            try:
                with self._running() as place:
                    found = self._select(self._module(self._torch.zeros(1, shape[2], *shape[:2], **place)))
            except Exception as error:
                raise InputError(
                    f"module: failed on a black image of shape (1, {shape[2]}, {shape[0]}, {shape[1]}) "
                    f"({type(error).__name__}: {first_line(error)}), expected an output"
                ) from error
            if not isinstance(found, self._torch.Tensor) or not found.is_floating_point():
                kind = getattr(found, "dtype", type(found).__name__)
                raise InputError(f"module: found an output of type {kind}, expected a floating tensor; see `select`")
            if found.ndim != 4 or found.shape[0] != 1:
                raise InputError(
                    f"module: found output of shape {tuple(found.shape)} for one image, expected (1, c, h, w)"
                )
            self._shapes[shape] = (*found.shape[2:], found.shape[1])
        return self._shapes[shape]

    def check(self, product: Product, shape: Shape) -> None:
        """Raise TypeError unless torch can compute this derivative at an image (H, W, C)."""
        if (product, shape) in self._possible:
            return
        direction = shape if product == "push" else self.output_shape(shape)
        try:
            self.run(product, np.zeros((1, *shape), np.float32), np.zeros((1, *direction), np.float32))
        except Exception as error:
            mode = "forward" if product == "push" else "reverse"
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise TypeError(f"module: found no {mode}-mode derivative in torch ({reason})") from error
        self._possible.add((product, shape))

    def run(self, product: Product, y: np.ndarray, *direction: np.ndarray) -> np.ndarray:
        """f(y), J(y) direction or J(y)ᵀ direction, a new array."""
        if not len(y):
            return np.zeros((0, *(y.shape[1:] if product == "pull" else self.output_shape(y.shape[1:]))), np.float32)
        size = self._batch_size or len(y)
        pieces = []
        for start in range(0, len(y), size):
            with self._running() as place:
                # Copies: XLA's own memory must not be written to.
                arrays = (np.array(np.moveaxis(a[start : start + size], -1, 1), order="C") for a in (y, *direction))
                found = self._products[product](*(self._torch.from_numpy(a).to(**place) for a in arrays))
                found = found.detach().to("cpu", self._torch.float32).numpy()
                pieces.append(np.array(np.moveaxis(found, 1, -1), order="C"))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _value(self, y: Any) -> Any:
        return self._select(self._module(y))

    def _push(self, y: Any, tangent: Any) -> Any:
        forward = _forward_mode(self._torch)
        with forward.dual_level():
            out, out_tangent = forward.unpack_dual(self._value(forward.make_dual(y, tangent)))
            return self._torch.zeros_like(out) if out_tangent is None else out_tangent

    def _pull(self, y: Any, cotangent: Any) -> Any:
        with self._torch.enable_grad():
            out = self._value(y.requires_grad_())
        if not out.requires_grad:
            return self._torch.zeros_like(y)
        (found,) = self._torch.autograd.grad(out, y, cotangent.to(out), allow_unused=True)
        return self._torch.zeros_like(y) if found is None else found

    @contextlib.contextmanager
    def _running(self) -> Iterator[dict[str, Any]]:
        """Alone, in evaluation mode and without recording gradients; gives the device and dtype of the input."""
        with self._lock, self._torch.no_grad():
            training = [part for part in self._module.modules() if part.training]
            try:
                for part in training:
                    part.training = False
                yield self._place()
            finally:
                for part in training:
                    part.training = True

    def _place(self) -> dict[str, Any]:
        tensors = itertools.chain(self._module.parameters(), self._module.buffers())
        first = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
        return {"dtype": self._torch.float32} if first is None else {"device": first.device, "dtype": first.dtype}


@functools.cache
def _forward_mode(torch: Any) -> Any:
    """Forward mode of torch. Its first use compiles functions in a way that torch itself warns about."""
    forward = torch.autograd.forward_ad
    with warnings.catch_warnings(action="ignore"), forward.dual_level():
        forward.make_dual(torch.zeros(1), torch.zeros(1))
    return forward


def _evaluate(y: Array, *direction: Array, host: _Host, product: Product) -> Array:
    if any(device.platform == "tpu" for device in y.devices()):
        raise InputError(_TPU)
    found = _call(y, *direction, host=host, product=product)
    try:
        y.sharding.shard_shape(found.shape)
    except ValueError:  # sharded along an axis that the restoration cannot be divided along
        return jnp.asarray(found)
    return jax.device_put(found, y.sharding)


def _call(y: Any, *direction: Any, host: _Host, product: Product) -> np.ndarray:
    return host.run(product, *(np.asarray(array) for array in (y, *direction)))


def _abstract(y: Any, *direction: Any, host: _Host, product: Product) -> Any:
    return y.update(shape=y.shape if product == "pull" else (y.shape[0], *host.output_shape(y.shape[1:])))


def _differentiate(primals: Any, tangents: Any, *, host: _Host, product: Product) -> tuple[Array, Array]:
    if product != "value" and not is_zero(tangents[0]):
        raise TypeError("module: found a second derivative of a torch module, expected first derivatives only")
    tangent = instantiated(tangents[-1])
    following: Product = "push" if product == "value" else product
    value = _module_p.bind(*primals, host=host, product=product)
    return value, _module_p.bind(primals[0], tangent, host=host, product=following)


def _transpose(cotangent: Any, y: Array, direction: Any, *, host: _Host, product: Product) -> tuple[None, Any]:
    if is_zero(cotangent):
        return None, zero_like(direction)
    # While JAX traces, where callers can still do without; later only the whole program could fail.
    host.check(_TRANSPOSED[product], y.shape[1:])
    return None, _module_p.bind(y, cotangent, host=host, product=_TRANSPOSED[product])


def _batch(args: Any, axes: Any, *, host: _Host, product: Product) -> tuple[Array, int]:
    """The mapped axis becomes part of the batch, so torch is called once."""
    count = next(array.shape[axis] for array, axis in zip(args, axes, strict=True) if axis is not None)
    whole = [
        jnp.broadcast_to(array, (count, *array.shape)) if axis is None else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(args, axes, strict=True)
    ]
    out = _module_p.bind(*(a.reshape(-1, *a.shape[2:]) for a in whole), host=host, product=product)
    return out.reshape(count, -1, *out.shape[1:]), 0


_module_p = new_primitive(
    "torch_module",
    evaluate=_evaluate,
    abstract=_abstract,
    batch=_batch,
    derivative=_differentiate,
    transpose=_transpose,
)
lower_to_host(_module_p, _call, refused={"tpu": InputError(_TPU)})
