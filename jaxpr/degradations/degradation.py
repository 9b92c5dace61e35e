"""Whole degradations, y = JPEG(A x + noise), and the short strings that name them."""

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, Key, check_images, check_positive
from jaxpr.degradations.blind_face import blind_face, blind_face_surrogate
from jaxpr.degradations.blur import Blur, gaussian_kernel
from jaxpr.degradations.jpeg import check_quality, jpeg
from jaxpr.degradations.linear import LinearOperator, Shape, check_shape
from jaxpr.degradations.noise import gaussian_noise
from jaxpr.degradations.pixelwise import Grayscale, Identity, Inpainting
from jaxpr.degradations.real_world import real_world
from jaxpr.degradations.separable import AverageDownsample, BicubicDownsample

__all__ = ["Degradation", "as_degradation", "parse_degradation"]

_GIVEN, _UNKNOWN, _BLIND_FACE = "given", "unknown", "blindface"
_BICUBIC_FACTORS = (2, 3, 4, 8, 16)
_KNOWN_TERMS = (
    "identity, bicubic-x{2,3,4,8,16}, average-x{N}, grayscale, blur-{std in pixels}, "
    "inpaint-center-{fraction}, inpaint-top-{fraction}; then noise-{std in 0..1}; then jpeg-{quality 1..100}; or, "
    "alone, realworld-x{1,2,3,4,8,16}, blindface, given or unknown"
)


@dataclass(frozen=True)
class Degradation:
    """A linear operator, then Gaussian noise, then JPEG; or any stochastic function `(key, x) -> y`.

    Attributes:
        name: a short name, as it appears in records.
        build: makes the linear operator for images of shape (H, W, C); None where there is none to compare A x̂ with y.
        noise_std: standard deviation of the added noise, in units of the [0, 1] range.
        jpeg_quality: libjpeg quality of the final compression; None for none.
        factor: pixels of x per pixel of y along an axis; images are cut to a multiple of it before evaluation.
        transform: `(key, x) -> y` in place of operator, noise and JPEG, with one key or one for each example, whose
            result for an example depends on its own key only.
        on_host: True if JAX cannot trace `transform`.
        surrogate: what JAX can trace in place of such a `transform`, as training does; None for nothing.

    Raises:
        InputError: noise_std is negative, or jpeg_quality no integer in 1..100.
    """

    name: str
    build: Callable[[Shape], LinearOperator] | None
    noise_std: float = 0.0
    jpeg_quality: int | None = None
    factor: int = 1
    transform: Callable[[Key, Array], Array] | None = None
    on_host: bool = False
    surrogate: Callable[[Key, Array], Array] | None = None

    def __post_init__(self) -> None:
        check_positive("noise_std", self.noise_std, or_zero=True)
        if self.jpeg_quality is not None:
            check_quality(self.jpeg_quality)

    @property
    def traceable(self) -> bool:
        """True if JAX can trace the whole degradation; libjpeg runs on the host."""
        return self.jpeg_quality is None and not self.on_host

    @property
    def is_unknown(self) -> bool:
        """True if nothing is known of y, so that only x and x̂ can be compared."""
        return self.name == _UNKNOWN

    @property
    def has_operator(self) -> bool:
        """True if there is a linear operator A to compare A x̂ with y."""
        return self.build is not None

    @property
    def only_noise(self) -> bool:
        """True if y is x and white noise: what a denoiser takes away can be compared with the noise."""
        return self.build is Identity and self.noise_std > 0 and self.traceable and self.transform is None

    def operator(self, shape: Shape) -> LinearOperator:
        """The linear operator for images of `shape` (H, W, C); the last few are kept.

        Raises:
            InputError: shape is not three positive integers, or the degradation is not defined for it or not linear.
        """
        if self.build is None:
            raise InputError(f"degradation: found {self.name!r}, which has no linear operator, expected one that has")
        return _build(self.build, check_shape(shape))

    def __call__(self, key: Key, x: ArrayLike) -> Array:
        """Degrade a batch.

        Args:
            key: one key, or one for each example; used by the noise only.
            x: (N, H, W, C), range [0, 1]. With JPEG it must be concrete, not traced.

        Returns:
            y (N, h, w, c), dtype of x. Bicubic downsampling and noise may leave [0, 1]; JPEG clips to it.

        Raises:
            InputError: x is not such a batch, or the degradation is not defined for its shape.
        """
        check_images("x", x)
        if self.transform is not None:
            return self.transform(key, jnp.asarray(x))
        height, width, channels = jnp.shape(x)[1:]
        y = self.operator((height, width, channels))(x)
        if self.noise_std > 0:
            y = gaussian_noise(key, y, std=self.noise_std)
        if self.jpeg_quality is not None:
            y = jnp.asarray(jpeg(jnp.clip(y, 0, 1), quality=self.jpeg_quality), y.dtype)
        return y


# Bounded: the operators of a folder of large photographs, all of different sizes, would fill the memory.
@functools.lru_cache(maxsize=16)
def _build(build: Callable[[Shape], LinearOperator], shape: Shape) -> LinearOperator:
    return build(shape)


def parse_degradation(spec: str) -> Degradation:
    """The degradation that a string like `bicubic-x4+noise-0.04+jpeg-50` names.

    Terms are joined by `+`, in this order, each at most once and at least one:

    - `identity`, `bicubic-x{2,3,4,8,16}` (MATLAB, any image size), `average-x{N}` (N divides the image), `grayscale`,
      `blur-{std}` (Gaussian, std in pixels, circular boundary), `inpaint-center-{fraction}` (unknown central square,
      its side that fraction of the image's shorter side) or `inpaint-top-{fraction}` (unknown upper rows);
    - `noise-{std}`, std in units of the [0, 1] range;
    - `jpeg-{quality}`.

    Four terms stand alone: `realworld-x{N}`, the mixture of `real_world`; `blindface`, that of `blind_face`; `given`,
    for data that bring their own measurements; `unknown`, for outputs of which only the true images are known, where y
    is grey everywhere. None has an operator, so consistency is not measured.

    Args:
        spec: the string; it becomes the degradation's name.

    Raises:
        InputError: a term is unknown, out of its range, repeated or out of order; the message lists the known terms.
    """
    if not isinstance(spec, str):
        raise InputError(f"spec: found {spec!r}, expected a string of terms joined by '+': {_KNOWN_TERMS}")
    if spec == _GIVEN:
        return Degradation(spec, None, transform=_refuse)
    if spec == _UNKNOWN:
        return Degradation(spec, None, transform=_grey)
    if spec == _BLIND_FACE:
        return Degradation(spec, None, transform=blind_face, on_host=True, surrogate=blind_face_surrogate)
    alone = re.fullmatch(r"realworld-x([0-9]+)", spec)
    if alone is not None and int(alone[1]) in (1, *_BICUBIC_FACTORS):
        factor = int(alone[1])
        mixture = functools.partial(real_world, factor=factor)
        return Degradation(spec, None, factor=factor, transform=mixture, on_host=True)
    build: Callable[[Shape], LinearOperator] = Identity
    noise_std, jpeg_quality, factor, last_rank = 0.0, None, 1, -1
    for term in spec.split("+"):
        match = re.fullmatch(r"([a-z]+(?:-[a-z]+)*?)(?:-(x?)([0-9.]+(?:e-?[0-9]+)?))?", term)
        if match is None:
            raise _unknown(spec, term)
        name, times, number = match.groups()
        rank = {"noise": 1, "jpeg": 2}.get(name, 0)
        if rank <= last_rank:
            raise _unknown(spec, term, "repeated or out of order: ")
        last_rank = rank
        value = _number(spec, term, number)
        if bool(times) != (name in ("bicubic", "average")):
            raise _unknown(spec, term)
        if name == "noise" and 0 <= value <= 1:
            noise_std = value
        elif name == "jpeg" and value in range(1, 101):
            jpeg_quality = int(value)
        elif rank == 0:
            build = _linear_term(spec, term, name, value)
            factor = int(value) if times else 1
        else:
            raise _unknown(spec, term)
    return Degradation(spec, build, noise_std=noise_std, jpeg_quality=jpeg_quality, factor=factor)


def _refuse(key: Key, x: Array) -> Array:
    raise InputError("degradation: found 'given', which cannot degrade images, expected one that can")


def _grey(key: Key, x: Array) -> Array:
    return jnp.full_like(x, 0.5)


def as_degradation(value: Degradation | LinearOperator | str) -> Degradation:
    """A `Degradation` from what callers have at hand: one already, a linear operator, or a string to parse.

    Raises:
        InputError: anything else, or a string that `parse_degradation` refuses.
    """
    if isinstance(value, Degradation):
        return value
    if isinstance(value, str):
        return parse_degradation(value)
    if isinstance(value, LinearOperator):
        name = f"{type(value).__name__}{tuple(value.shape)}"
        factor = max(1, round(value.shape[0] / value.output_shape[0]))
        return Degradation(name, functools.partial(_fixed, value), factor=factor)
    raise InputError(
        f"degradation: found {type(value).__name__}, expected a Degradation, a linear operator or a string"
    )


def _fixed(operator: LinearOperator, shape: Shape) -> LinearOperator:
    if tuple(shape) != tuple(operator.shape):
        raise InputError(
            f"degradation: found images of shape {shape}, expected {tuple(operator.shape)} as its operator"
        )
    return operator


def _number(spec: str, term: str, text: str | None) -> float:
    """The term's number, or NaN (which lies in no range) if it has none."""
    if text is None:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise _unknown(spec, term) from None


def _linear_term(spec: str, term: str, name: str, value: float) -> Callable[[Shape], LinearOperator]:
    plain = math.isnan(value)
    if name == "identity" and plain:
        return Identity
    if name == "grayscale" and plain:
        return Grayscale
    if name == "bicubic" and value in _BICUBIC_FACTORS:
        return functools.partial(BicubicDownsample, factor=int(value))
    if name == "average" and value >= 1 and value.is_integer():
        return functools.partial(AverageDownsample, factor=int(value))
    if name == "blur" and 0 < value < math.inf:
        return functools.partial(_gaussian_blur, std=value)
    if name == "inpaint-center" and 0 < value < 1:
        return functools.partial(_inpaint_center, fraction=value)
    if name == "inpaint-top" and 0 < value < 1:
        return functools.partial(_inpaint_top, fraction=value)
    raise _unknown(spec, term)


def _gaussian_blur(shape: Shape, *, std: float) -> Blur:
    return Blur(shape, gaussian_kernel(std))


def _inpaint_center(shape: Shape, *, fraction: float) -> Inpainting:
    height, width, channels = shape
    side = round(fraction * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    mask = np.ones((height, width), bool)
    mask[top : top + side, left : left + side] = False
    return Inpainting(mask, channels=channels)


def _inpaint_top(shape: Shape, *, fraction: float) -> Inpainting:
    height, width, channels = shape
    mask = np.ones((height, width), bool)
    mask[: round(fraction * height)] = False
    return Inpainting(mask, channels=channels)


def _unknown(spec: str, term: str, why: str = "") -> InputError:
    return InputError(f"spec: found {why}{term!r} in {spec!r}, expected terms joined by '+': {_KNOWN_TERMS}")
