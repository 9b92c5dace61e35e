"""What is measured and how: the settings that decide the numbers of an evaluation.

A protocol is a tree of frozen values, each of which refuses to be made wrong. Every setting has one name, by which
`Protocol.replace` and the options of the command line know it, whatever value of the tree holds it.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

from jaxpr.core import InputError, check_count, check_positive, did_you_mean
from jaxpr.data.resizing import check_resize
from jaxpr.evaluation.ascents import ATTACKS, IFGSM, Attack
from jaxpr.evaluation.ascents import named as _named
from jaxpr.weights.features import check_feature_name

__all__ = [
    "SCALES",
    "Distortion",
    "Exploration",
    "Patches",
    "Probes",
    "Protocol",
    "is_radius",
    "setting_name",
    "settings",
]

_LEVELS = (1, 2, 4, 8, 16, 32)


def _check_choices(value: Any, *names: str) -> None:
    for name in names:
        allowed = get_args(get_type_hints(type(value))[name])
        if getattr(value, name) not in allowed:
            raise InputError(f"{name}: found {getattr(value, name)!r}, expected one of {', '.join(allowed)}")


def _check_optional_count(name: str, value: int | None, *, at_least: int = 1) -> None:
    if value is not None:
        check_count(name, value, at_least=at_least)


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """How restorations are compared with the truth."""

    border: int = 0
    """Pixels cut off on every side before RMSE, PSNR and SSIM; super-resolution often uses the scale factor."""

    channel: Literal["rgb", "y"] = "rgb"
    """RMSE, PSNR and SSIM on colours, or on luma as MATLAB's `rgb2ycbcr` defines it."""

    lpips_network: Literal["alexnet", "vgg16"] = "alexnet"
    """Trunk of LPIPS."""

    def __post_init__(self) -> None:
        check_count("border", self.border, at_least=0)
        _check_choices(self, "channel", "lpips_network")


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The patches whose features enter the set measures: Fréchet and kernel distances, neighbour measures."""

    size: int = _named("patch_size", 16)
    """Side of the patches in pixels of y; those of x are larger by the scale factor. [ohayon2024] uses 32."""

    stride: int = _named("patch_stride", 8)
    """Step between patches in pixels of y. [ohayon2024] uses 16."""

    features: str = "alexnet"
    """Feature extractor of the set measures: alexnet, vgg16, pixels, or inception:FILE with the published weights, with
    which distances are called FID and KID, and the inception score is measured too."""

    neighbours: int = 3
    """k of precision, recall, density and coverage. [ohayon2024] and [ohayon2023] use 3."""

    most: int | None = _named("set_patches", 10_000)
    """Kernel and neighbour measures, whose cost grows with the square of their number, use a random choice of so many
    patches at most; Fréchet distances always use all."""

    def __post_init__(self) -> None:
        for name in ("size", "stride", "neighbours"):
            check_count(name, getattr(self, name))
        _check_optional_count("most", self.most)
        check_feature_name(self.features)

    @property
    def features_name(self) -> str:
        """The extractor's name, without the path of its file, as it ends the names of metrics."""
        return self.features.partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """Exploration of the posterior by attacks ([ohayon2024], Algorithm 1)."""

    samples: int = _named("explore_samples", 0)
    """Outputs of the exploration per measurement; 0 for none."""

    alpha: float = _named("explore_alpha", 8 / 255, radius=True)
    """Radius of the exploration in intensity units; [ohayon2024] uses 8/255."""

    steps: int = _named("explore_steps", 150)
    """Steps of the exploration per output; [ohayon2024] uses 150."""

    def __post_init__(self) -> None:
        check_count("samples", self.samples, at_least=2 if self.samples else 0)
        check_positive("alpha", self.alpha)
        check_count("steps", self.steps)


@dataclass(frozen=True, kw_only=True)
class Probes:
    """The costly measures, which run on a few examples only."""

    count: int | None = _named("probes", 2)
    """Examples for the costly measures (attack sweep, spectral norm, exploration), spread evenly; 0 leaves these
    measures out."""

    sweep: tuple[float, ...] = _named("sweep", tuple(level / 255 for level in _LEVELS), radius=True)
    """Radii of I-FGSM, in intensity units, for the curve of adversarial output against input PSNR."""

    lipschitz_iterations: int = 10
    """Power iterations for the spectral norm of the Jacobian; 0 for none."""

    attack_checks: bool = True
    """Try twice the steps of the attack from another start, random directions, noise and shifts as large: whether K̄ has
    converged, and how it compares with what happens by itself."""

    exploration: Exploration = Exploration()
    """Of the posterior."""

    def __post_init__(self) -> None:
        _check_optional_count("count", self.count, at_least=0)
        check_count("lipschitz_iterations", self.lipschitz_iterations, at_least=0)
        if not isinstance(self.sweep, tuple):
            raise InputError(f"sweep: found {self.sweep!r}, expected a tuple of radii")
        check_positive("sweep", np.asarray(self.sweep, float))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The settings that decide the numbers. Batch size and devices are not among them: they change nothing."""

    resize: tuple[int, ...] = ()
    """Images are resized before anything else, bilinearly with antialiasing as Pillow does: one number for the shorter
    side, two for height and width; none leaves them as they are. [ohayon2023] resizes CelebA to 102 102."""

    centre: int | None = None
    """Side of the central square that is then cut out of each image; [ohayon2023] takes 64 of CelebA."""

    crop: int | None = 192
    """Side of the square crops, in pixels of x, that images are cut into, each one example; 0 for whole images, cut at
    the lower right to a multiple of the scale factor."""

    limit: int | None = None
    """Evaluate only so many crops or images, spread evenly over the data."""

    measurement_bits: int | None = 8
    """y is clipped to [0, 1] and rounded to so many bits, as an image file holds it; none leaves it as the degradation
    made it, and the attack then has no range to stay in."""

    distortion: Distortion = Distortion()
    """Comparison with the truth."""

    patches: Patches = Patches()
    """Of the set measures."""

    niqe_parameters: str | None = None
    """File with parameters of NIQE, as MATLAB's release (.mat) or BasicSR (.npz) has them; none for those that were
    fitted on the packaged photographs."""

    attack: Attack | None = IFGSM()  # noqa: RUF009, for it is frozen
    """The attack behind K̄: ifgsm or the stronger apgd (∞-norm), l2_adam (Euclidean), or none, which leaves its measures
    out."""

    attack_draws: int = 10
    """Random seeds over which the attack on a stochastic restorer averages; [ohayon2023] uses 10."""

    samples: int = 8
    """Draws per measurement from stochastic restorers, for their diversity; [ohayon2023] uses 32."""

    probes: Probes = Probes()
    """Costly measures on a few examples."""

    uncertainty_block: int = 4
    """Side, in pixels of x, of the luma blocks behind the uncertainty-perception plane, raised to the scale factor
    where that is larger; 0 for none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resize", check_resize("resize", self.resize))
        _check_optional_count("centre", self.centre)
        _check_optional_count("crop", self.crop, at_least=0)
        for name in ("measurement_bits", "limit"):
            _check_optional_count(name, getattr(self, name))
        if not isinstance(self.niqe_parameters, str | None):
            raise InputError(f"niqe_parameters: found {self.niqe_parameters!r}, expected the path of a file or None")
        check_count("attack_draws", self.attack_draws)
        check_count("uncertainty_block", self.uncertainty_block, at_least=0)
        check_count("samples", self.samples, at_least=2)
        for name, kinds in (("distortion", Distortion), ("patches", Patches), ("probes", Probes)):
            if not isinstance(getattr(self, name), kinds):
                raise InputError(f"{name}: found {getattr(self, name)!r}, expected {kinds.__name__}(...)")
        if not isinstance(self.attack, Attack | None):
            raise InputError(f"attack: found {self.attack!r}, expected IFGSM(...), APGD(...), L2Adam(...) or None")

    @property
    def sweep(self) -> tuple[float, ...]:
        """Radii of the attack sweep; none without an attack."""
        return self.probes.sweep if self.attack is not None else ()

    @property
    def probing(self) -> bool:
        """Whether any of the costly measures runs."""
        probes = self.probes
        return probes.count != 0 and bool(self.sweep or probes.lipschitz_iterations or probes.exploration.samples)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The valid range of measurements, or None."""
        return None if self.measurement_bits is None else (0.0, 1.0)

    def replace(self, **changes: Any) -> "Protocol":
        """This protocol with other values of some settings, by their names, such as `limit` or `patch_size`.

        `attack` takes one of the values, or "ifgsm", "apgd", "l2_adam" or None.

        Raises:
            InputError: a setting that is not there, or is none of the attack's, or a value that it cannot have.
        """
        changed: Protocol = _replaced(_with_attack(self, changes), changes)
        for name, value in changes.items():
            kinds = [word for word, kind in ATTACKS.items() if name in map(setting_name, fields(kind))]
            if kinds:
                raise InputError(f"{name}: found without attack {' or '.join(kinds)}, expected with it only")
            likely = did_you_mean(name, settings(changed))
            raise InputError(f"{name}: found {value!r}, expected one of {', '.join(settings(changed))}{likely}")
        return changed

    _replace = replace  # as of a NamedTuple


def settings(value: Any) -> dict[str, Any]:
    """All settings of a protocol, or of a part of one, by name."""
    found: dict[str, Any] = {}
    for part in fields(value):
        own = getattr(value, part.name)
        if part.name == "attack":
            found["attack"] = next((name for name, kind in ATTACKS.items() if isinstance(own, kind)), None)
        if is_dataclass(own):
            found |= settings(own)
        elif part.name != "attack":
            found[setting_name(part)] = own
    return found


def setting_name(part: Any) -> str:
    """The name of the setting that a field holds."""
    return str(part.metadata.get("setting", part.name))


def is_radius(part: Any) -> bool:
    """Whether a field holds a length, or several, in intensity units."""
    return bool(part.metadata.get("radius", False))


def _with_attack(protocol: Protocol, changes: dict[str, Any]) -> Protocol:
    """With the attack that the changes name; it is taken out of them. What both attacks have stays."""
    if "attack" not in changes:
        return protocol
    wanted = changes.pop("attack")
    if isinstance(wanted, str):
        if wanted not in ATTACKS:
            raise InputError(f"attack: found {wanted!r}, expected one of {', '.join(ATTACKS)}, or none")
        own = protocol.attack
        kept = {part.name: getattr(own, part.name) for part in fields(ATTACKS[wanted]) if hasattr(own, part.name)}
        wanted = own if isinstance(own, ATTACKS[wanted]) else ATTACKS[wanted](**kept)
    return replace(protocol, attack=wanted)


def _replaced(value: Any, changes: dict[str, Any]) -> Any:
    """A value with those of its settings that the changes name, which are taken out of them."""
    new = {}
    for part in fields(value):
        own, name = getattr(value, part.name), setting_name(part)
        if is_dataclass(own):
            new[part.name] = _replaced(own, changes)
        elif name in changes:
            new[part.name] = changes.pop(name)
    try:
        return replace(value, **new)
    except InputError as error:
        raise InputError(_in_settings(value, str(error))) from error


def _in_settings(value: Any, message: str) -> str:
    """A message about a field, about the setting that it holds."""
    name, colon, rest = message.partition(":")
    names = {part.name: setting_name(part) for part in fields(value)}
    return f"{names.get(name, name)}{colon}{rest}"


SCALES = {
    "smoke": Protocol(crop=96, attack=IFGSM(steps=2), limit=4, probes=Probes(count=1, lipschitz_iterations=3)),
    "small": Protocol(),
    "paper": Protocol(
        crop=None,
        patches=Patches(size=32, stride=16),
        attack=IFGSM(steps=100),
        samples=32,
        probes=Probes(lipschitz_iterations=30),
    ),
}
"""Protocols by scale: smoke runs in seconds, small in minutes on two CPU cores with the packaged photographs, paper has
the patches and the attack strength of [ohayon2024], Section 4.2 (which does not state its number of steps)."""
