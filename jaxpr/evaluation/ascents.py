"""The attacks of an evaluation: an ascent rule with its settings, as a value that a protocol holds."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jaxpr.attacks import apgd, ifgsm, l2_adam
from jaxpr.core import Array, Key, Objective, check_count, check_positive

__all__ = ["APGD", "ATTACKS", "Attack", "IFGSM", "L2Adam", "named"]


def named(name: str, default: Any, *, radius: bool = False) -> Any:
    """A field whose setting has another name than the field itself; a radius is a length in intensity units."""
    return field(default=default, metadata={"setting": name, "radius": radius})


@dataclass(frozen=True, kw_only=True)
class IFGSM:
    """I-FGSM, the ∞-norm attack of [ohayon2024]."""

    alpha: float = named("alpha", 1 / 255, radius=True)
    """Radius of the attack in intensity units. [ohayon2024], Section 4.2, uses 1/255."""

    steps: int = named("attack_steps", 10)
    """Steps of the attack; Choi et al. 2019 use 50."""

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)
        check_count("steps", self.steps)

    def ascend(self, key: Key, objective: Objective, y: Array, *, bounds: tuple[float, float] | None) -> Array:
        """Measurements (N, h, w, C) near y at which the objective is larger."""
        return ifgsm(key, objective, y, alpha=self.alpha, steps=self.steps, bounds=bounds)

    def record(self) -> dict[str, Any]:
        """What a record says about it."""
        return {"attack": "I-FGSM on the output shift", "alpha": self.alpha, "attack_steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Auto-PGD (Croce and Hein 2020), in the same ball: momentum, steps that halve, and as many rounds as it takes."""

    alpha: float = named("alpha", 1 / 255, radius=True)
    """Radius of the attack in intensity units. [ohayon2024], Section 4.2, uses 1/255."""

    steps: int = named("attack_steps", 10)
    """Steps of the attack; Croce and Hein 2020 use 100."""

    rounds: int = named("attack_effort", 1)
    """Rounds of apgd at most, each with twice the steps of the one before and from another start: an image is done once
    a round raises the change of its output by less than 2 %, and keeps the best."""

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)
        for name in ("steps", "rounds"):
            check_count(name, getattr(self, name))

    def ascend(self, key: Key, objective: Objective, y: Array, *, bounds: tuple[float, float] | None) -> Array:
        """Measurements (N, h, w, C) near y at which the objective is larger."""
        return apgd(key, objective, y, alpha=self.alpha, steps=self.steps, bounds=bounds, rounds=self.rounds)

    def record(self) -> dict[str, Any]:
        """What a record says about it."""
        return {
            "attack": "Auto-PGD on the output shift",
            "alpha": self.alpha,
            "attack_steps": self.steps,
            "attack_effort": self.rounds,
        }


@dataclass(frozen=True, kw_only=True)
class L2Adam:
    """Adam in a Euclidean ball, the attack of [ohayon2023]."""

    epsilon: float = 2.5
    """Radius of l2_adam, a Euclidean norm over all entries of y; [ohayon2023] uses 2.5 on 64×64 inpainting."""

    steps: int = named("attack_steps", 10)
    """Steps of the attack; [ohayon2023] uses 5."""

    learning_rate: float = 1.0
    """Learning rate of l2_adam; [ohayon2023] uses 1."""

    def __post_init__(self) -> None:
        for name in ("epsilon", "learning_rate"):
            check_positive(name, getattr(self, name))
        check_count("steps", self.steps)

    def ascend(self, key: Key, objective: Objective, y: Array, *, bounds: tuple[float, float] | None) -> Array:
        """Measurements (N, h, w, C) near y at which the objective is larger."""
        epsilon, steps, rate = self.epsilon, self.steps, self.learning_rate
        return l2_adam(key, objective, y, epsilon=epsilon, steps=steps, learning_rate=rate, bounds=bounds)

    def record(self) -> dict[str, Any]:
        """What a record says about it."""
        return {
            "attack": "l2 Adam on the output shift",
            "epsilon": self.epsilon,
            "attack_steps": self.steps,
            "learning_rate": self.learning_rate,
        }


Attack: TypeAlias = IFGSM | APGD | L2Adam
ATTACKS: dict[str, type[Attack]] = {"ifgsm": IFGSM, "apgd": APGD, "l2_adam": L2Adam}
"""Attacks by the names that the setting `attack` takes."""
