"""What is known about a machine and its packages, and what follows from it. Plain values; sizes are bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Device", "Facts", "Finding", "Memory"]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of the host or of a device; None where it is not known."""

    free: int | None
    """Bytes that can be taken; of a device: within what JAX may take of it."""

    total: int | None
    """Bytes; of a device: what JAX may take of it."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device of JAX's default backend."""

    platform: str
    """cpu, gpu or tpu."""

    kind: str
    """As JAX names it, for example Tesla T4."""

    memory: Memory | None
    """None where the device does not tell."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What `collect_facts` finds, and all that `diagnose` looks at."""

    python: str
    """Version."""

    platform: str
    """Operating system and processor."""

    jaxpr: str
    """Version of the code that runs."""

    installed: str | None
    """Version of the installed distribution jaxpr; None where the code runs from its source alone."""

    packages: Mapping[str, str | None]
    """Version of each package that jaxpr needs, None where it is missing."""

    plugins: Mapping[str, str]
    """Version of each installed distribution that brings JAX an accelerator, libtpu included."""

    requirements: tuple[str, ...] = ()
    """What the installed jaxpr asks for, as in its metadata."""

    jax_requirements: tuple[str, ...] = ()
    """What the installed jax asks for, as in its metadata."""

    jax_wanted: Mapping[str, str]
    """Versions of jax that other installed packages ask for, as specifiers, by package."""

    backend: str | None
    """JAX's default backend: cpu, gpu or tpu; None where none starts."""

    backend_error: str | None = None
    """First line of what JAX says if it cannot be imported, starts no backend or cannot compute."""

    import_error: str | None = None
    """First line of what Python says if jaxpr's commands cannot be imported."""

    devices: tuple[Device, ...]
    """Those of the default backend."""

    dtypes: Mapping[str, str]
    """ok, emulated or unsupported, by dtype, on the default device; empty where nothing computes."""

    memory: Memory
    """Of the host."""

    environment: Mapping[str, str]
    """Variables that decide what JAX does, where they are set."""

    gpu_signs: tuple[str, ...]
    """Files by which an NVIDIA GPU or its driver is seen."""

    tpu_signs: tuple[str, ...]
    """Files and variables by which a TPU is seen."""

    nvidia_driver: str | None
    """Version."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    about: str
    """One word for programs, such as plugin or packages."""

    wrong: bool
    """False for what needs no mending."""

    text: str
    """Sentences for a person."""

    commands: tuple[str, ...] = ()
    """What mends it; the text says whether all are needed."""
