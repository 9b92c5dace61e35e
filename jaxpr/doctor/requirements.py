"""Versions, what packages ask for, and commands of pip.

Comparisons use `packaging`, which comes with matplotlib and scikit-image. Where it is missing nothing is compared.
"""

import re
from collections.abc import Sequence
from importlib.metadata import version

__all__ = ["allows", "install_line", "normal_name", "pip_install", "release", "requirements_here"]

_PLAIN_WORD = re.compile(r"[\w./-]+")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")


def install_line(target: str, *, jax: str | None = None) -> str:
    """The command that installs `target` and leaves the installed JAX alone, whatever its newest version is.

    On Colab and Kaggle jax belongs to a plugin for the accelerator. A command without its version may replace jax and
    leave the plugin, which JAX then ignores.

    Args:
        target: what pip installs: jaxpr, or a folder or file with it.
        jax: version of the installed JAX, if known already.
    """
    if jax is None:
        try:
            jax = version("jax")
        except Exception:  # no metadata, or broken ones: there is no version to keep
            return pip_install(target)
    return pip_install(f"jax=={jax}", target)


def pip_install(*words: str) -> str:
    """`pip install` with these words, quoted where a shell needs it."""
    return " ".join(["pip install", *(word if _PLAIN_WORD.fullmatch(word) else f'"{word}"' for word in words)])


def normal_name(name: str) -> str:
    """A distribution's name as package indexes compare it: jax_cuda12_plugin is jax-cuda12-plugin."""
    return re.sub(r"[-_.]+", "-", name).lower()


def release(text: str | None) -> tuple[int, ...]:
    """The leading numbers of a version, which is what JAX compares plugins by; empty if there are none."""
    found = _RELEASE.match(text or "")
    return tuple(map(int, found[0].split("."))) if found else ()


def requirements_here(texts: Sequence[str], *, extra: str = "") -> dict[str, str]:
    """Specifier by normal name, of the requirements that hold for this Python; what cannot be read is left out.

    Args:
        texts: as in a distribution's metadata.
        extra: whose requirements count too.
    """
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        return {}
    found: dict[str, str] = {}
    for text in texts:
        try:
            requirement = Requirement(text)
            holds = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        except (InvalidRequirement, ValueError, KeyError):
            continue
        if holds:
            found[normal_name(requirement.name)] = str(requirement.specifier)
    return found


def allows(specifier: str, found: str | None) -> bool:
    """Whether a version satisfies a specifier; True where that cannot be told."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ImportError:
        return True
    try:
        return found is None or SpecifierSet(specifier).contains(found, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True
