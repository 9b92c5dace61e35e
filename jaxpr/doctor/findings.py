"""From facts to findings. Pure: no file, no environment, no device is looked at here."""

from collections.abc import Callable, Iterator, Mapping

from jaxpr.doctor.facts import Facts, Finding
from jaxpr.doctor.requirements import allows, pip_install, release, requirements_here

__all__ = ["diagnose", "idle_accelerator"]

_GPU_PLATFORMS = ("cuda", "gpu", "rocm")
_CUDA13_DRIVER = 580
_NO_DEVICE = ("", "-1", "none", "void", "NoDevFiles")
_RESTART = "Afterwards start Python anew (in a notebook: restart the runtime)."


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """What is wrong, then what is worth knowing."""
    found = [finding for rule in _RULES for finding in rule(facts)]
    return tuple(sorted(found, key=lambda finding: not finding.wrong))


def idle_accelerator(backend: str, plugins: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    """One line where a plugin for an accelerator is installed and the CPU computes without having been asked for.

    Args:
        backend: JAX's default one.
        plugins: version by distribution.
        environment: variables; a JAX_PLATFORMS that names the CPU asks for it.
    """
    if backend != "cpu" or not plugins or "cpu" in _platforms(environment):
        return None
    return f"computing on the CPU although {_and(plugins)} {_are(plugins)} installed; `jaxpr doctor` says why"


def _import(facts: Facts) -> Iterator[Finding]:
    if facts.import_error is not None:
        yield Finding(
            about="import",
            wrong=True,
            text=f"jaxpr's other commands cannot be imported: {facts.import_error}. Packages that are missing or do "
            "not fit are named below; if there are none, this is an error of jaxpr: report it with this output.",
        )


def _backend(facts: Facts) -> Iterator[Finding]:
    if facts.backend_error is None:
        return
    if facts.packages.get("jax") is None and "jax" not in requirements_here(facts.requirements):
        yield Finding(about="backend", wrong=True, text="jax is not installed.", commands=(pip_install("jax"),))
        return
    platforms = facts.environment.get("JAX_PLATFORMS")
    choice = f" JAX_PLATFORMS={platforms} lets JAX use nothing else; this lifts it." if platforms else ""
    yield Finding(
        about="backend",
        wrong=True,
        text=f"JAX does not compute: {facts.backend_error.rstrip('.')}.{choice}",
        commands=("unset JAX_PLATFORMS",) if platforms else (),
    )


def _jaxlib(facts: Facts) -> Iterator[Finding]:
    jax, jaxlib = facts.packages.get("jax"), facts.packages.get("jaxlib")
    wanted = requirements_here(facts.jax_requirements).get("jaxlib")
    if jax is None or wanted is None or (jaxlib is not None and allows(wanted, jaxlib)):
        return
    cuda = set(_cuda(facts).values())
    # The plugin is the hardest to replace, so jax follows it where it is of one version that jaxpr can use.
    follow = len(cuda) == 1 and _jaxpr_takes_jax(facts, min(cuda))
    yield Finding(
        about="jaxlib",
        wrong=True,
        text=f"jax {jax} asks for jaxlib{wanted}, but {f'jaxlib {jaxlib}' if jaxlib else 'no jaxlib'} is installed. "
        f"{_RESTART}",
        commands=(_move_jax(facts, min(cuda)) if follow else _move_jax(facts, jax, jaxlib=False),),
    )


def _plugin(facts: Facts) -> Iterator[Finding]:
    """JAX ignores CUDA plugins of another version than jaxlib. ROCm's it does not compare."""
    jaxlib, cuda = facts.packages.get("jaxlib"), _cuda(facts)
    stale = {name: v for name, v in cuda.items() if release(v) and jaxlib and release(v) != release(jaxlib)}
    if not stale:
        return
    stale_kinds = {_kind(name) for name in stale}
    text = f"{_and(stale)} {'do' if len(stale) > 1 else 'does'} not fit jaxlib {jaxlib}"
    if facts.backend == "gpu" or {_kind(name) for name in cuda} - stale_kinds:
        yield Finding(
            about="plugin",
            wrong=False,
            text=f"{text} and {_are(stale)} left over: JAX has another one. This removes what is left over.",
            commands=(f"pip uninstall {' '.join(stale)}",),
        )
        return
    text += f", so JAX ignores {'them' if len(stale) > 1 else 'it'} and uses no GPU. "
    versions = set(cuda.values())
    version, kind = min(versions), max(stale_kinds)
    if len(versions) == 1 and _jaxpr_takes_jax(facts, version):
        moved = _at_odds(facts, version)
        text += "An installation has probably replaced jax and left the plugin. This puts jax back to the plugin's "
        text += f"version, and {', '.join(moved)} to one that works with it. " if moved else "version. "
        command = _move_jax(facts, version)
    else:
        text += "This brings the plugin to the version of jax. "
        command = pip_install(_pinned_jax(facts, kind))
    yield Finding(about="plugin", wrong=True, text=text + _RESTART, commands=(command,))


def _libtpu(facts: Facts) -> Iterator[Finding]:
    wanted = requirements_here(facts.jax_requirements, extra="tpu").get("libtpu")
    libtpu = facts.plugins.get("libtpu")
    if libtpu is None or wanted is None or allows(wanted, libtpu):
        return
    text = f"libtpu {libtpu} is installed, but jax {facts.packages.get('jax')} asks for libtpu{wanted}. "
    # Hosts of notebooks ship pairs that jax's metadata do not foresee: what works is not wrong.
    if facts.backend == "tpu":
        yield Finding(about="libtpu", wrong=False, text=text + "The TPU computes nevertheless: leave both alone.")
        return
    yield Finding(
        about="libtpu",
        wrong=bool(facts.tpu_signs),
        text=f"{text}Put back the jax that libtpu came with, or install the libtpu of this jax. {_RESTART}",
        commands=(pip_install(_pinned_jax(facts, "tpu")),),
    )


def _idle_gpu(facts: Facts) -> Iterator[Finding]:
    if not facts.gpu_signs or facts.backend not in ("cpu", None):
        return
    driver = f"driver {facts.nvidia_driver}" if facts.nvidia_driver else "driver version unknown"
    seen = f"An NVIDIA GPU is here ({', '.join(facts.gpu_signs)}; {driver}), but JAX does not use it"
    if all(sign.startswith("/proc/") for sign in facts.gpu_signs):
        yield Finding(
            about="gpu",
            wrong=True,
            text=f"The driver of an NVIDIA GPU is loaded ({', '.join(facts.gpu_signs)}; {driver}), but no device file "
            "/dev/nvidia* is here. A container must be started with the GPU, for example by docker run --gpus all.",
        )
        return
    explained = [_chosen_platform(facts, seen, _GPU_PLATFORMS), _hidden_gpu(facts, seen), _missing_plugin(facts, seen)]
    yield from (finding for finding in explained if finding is not None)
    known = (*_backend(facts), *_jaxlib(facts), *_plugin(facts))
    if not any(explained) and not any(finding.wrong for finding in known):
        cuda = _cuda(facts)
        yield Finding(
            about="gpu",
            wrong=True,
            text=f"{seen}, though {_and(cuda)} {_are(cuda)} installed. The first command shows whether the driver "
            "answers, the second what JAX says about the GPU.",
            commands=("nvidia-smi", "JAX_PLATFORMS=cuda jaxpr doctor"),
        )


def _hidden_gpu(facts: Facts, seen: str) -> Finding | None:
    visible = facts.environment.get("CUDA_VISIBLE_DEVICES")
    if visible not in _NO_DEVICE:
        return None
    text = f"{seen}: CUDA_VISIBLE_DEVICES={visible} hides it. This shows it again."
    return Finding(about="visible", wrong=True, text=text, commands=("unset CUDA_VISIBLE_DEVICES",))


def _missing_plugin(facts: Facts, seen: str) -> Finding | None:
    if _cuda(facts):
        return None
    driver = release(facts.nvidia_driver)
    kinds = ("cuda12",) if driver and driver[0] < _CUDA13_DRIVER else ("cuda12", "cuda13")
    choice = f"; the second command is for drivers from {_CUDA13_DRIVER} on, either will do" if len(kinds) > 1 else ""
    return Finding(
        about="gpu",
        wrong=True,
        text=f"{seen}: no plugin for it is installed. This installs one for the jax that is here{choice}. {_RESTART}",
        commands=tuple(pip_install(_pinned_jax(facts, kind)) for kind in kinds),
    )


def _idle_tpu(facts: Facts) -> Iterator[Finding]:
    if not facts.tpu_signs or facts.backend not in ("cpu", None):
        return
    seen = f"A TPU is here ({', '.join(facts.tpu_signs)}), but JAX does not use it"
    chosen = _chosen_platform(facts, seen, ("tpu",))
    if chosen is not None:
        yield chosen
    if "libtpu" not in facts.plugins:
        yield Finding(
            about="tpu",
            wrong=True,
            text=f"{seen}: libtpu is not installed. This installs the one of the jax that is here. {_RESTART}",
            commands=(pip_install(_pinned_jax(facts, "tpu")),),
        )
    elif chosen is None and not any((*_backend(facts), *_jaxlib(facts), *_libtpu(facts))):
        yield Finding(
            about="tpu",
            wrong=True,
            text=f"{seen}, though libtpu {facts.plugins['libtpu']} is installed. Only one process at a time can use a "
            "TPU: end the others, or restart the runtime. The command shows what JAX says about it.",
            commands=("JAX_PLATFORMS=tpu jaxpr doctor",),
        )


def _chosen_platform(facts: Facts, seen: str, wanted: tuple[str, ...]) -> Finding | None:
    platforms = _platforms(facts.environment)
    if not platforms or platforms[0] in wanted:
        return None
    text = f"{seen}: JAX_PLATFORMS={facts.environment['JAX_PLATFORMS']} asks for {platforms[0]} first. This lifts it."
    return Finding(about="platforms", wrong=True, text=text, commands=("unset JAX_PLATFORMS",))


def _no_accelerator(facts: Facts) -> Iterator[Finding]:
    if facts.plugins and facts.backend == "cpu" and not facts.gpu_signs and not facts.tpu_signs:
        yield Finding(
            about="accelerator",
            wrong=False,
            text=f"Installed for an accelerator: {_and(facts.plugins)}. But neither an NVIDIA GPU nor a TPU is seen, "
            "so the CPU computes. In a hosted notebook choose a runtime with one; start containers with it.",
        )


def _packages(facts: Facts) -> Iterator[Finding]:
    bounds = requirements_here(facts.requirements)
    broken = {name: spec for name, spec in bounds.items() if not _has(facts, name, spec)}
    if not broken:
        return
    found = ", ".join(f"{name}{spec} (found {facts.packages.get(name) or 'none'})" for name, spec in broken.items())
    kind = next((_kind(name) for name in sorted(facts.plugins, reverse=True) if _kind(name)), None)
    words = [f"jax[{kind}]{spec}" if name == "jax" and kind else f"{name}{spec}" for name, spec in broken.items()]
    keep = [] if "jax" in broken or facts.packages.get("jax") is None else [_pinned_jax(facts)]
    text = f"jaxpr asks for {found}. This installs what fits" + (" and leaves jax alone. " if keep else ". ")
    yield Finding(about="packages", wrong=True, text=text + _RESTART, commands=(pip_install(*keep, *words),))


def _at_odds_now(facts: Facts) -> Iterator[Finding]:
    """After jax was moved alone, Flax may be too new for it."""
    jax = facts.packages.get("jax")
    if jax is None or any(finding.wrong for finding in (*_plugin(facts), *_jaxlib(facts))):
        return  # their commands move these packages too
    moved = _at_odds(facts, jax)
    if moved:
        asks = ", ".join(f"{name} {facts.packages.get(name)} asks for jax{facts.jax_wanted[name]}" for name in moved)
        text = f"{asks}, but jax {jax} is installed. This leaves jax alone. {_RESTART}"
        yield Finding(about="packages", wrong=True, text=text, commands=(_move_jax(facts, jax, jaxlib=False),))


def _distribution(facts: Facts) -> Iterator[Finding]:
    if facts.installed is None:
        yield Finding(
            about="source",
            wrong=False,
            text="jaxpr runs from its source and is not installed, so what it asks of other packages was not compared. "
            "In the folder of its pyproject.toml this installs it and leaves jax alone.",
            commands=(pip_install(*([_pinned_jax(facts)] if facts.packages.get("jax") else []), "."),),
        )
    elif facts.installed != facts.jaxpr:
        text = f"jaxpr {facts.jaxpr} runs, but {facts.installed} is installed: Python found another copy of it first."
        yield Finding(about="source", wrong=False, text=text)


def _comparison(facts: Facts) -> Iterator[Finding]:
    if facts.packages.get("packaging") is None:
        yield Finding(
            about="packaging",
            wrong=False,
            text="packaging is not installed, so versions of packages were not compared.",
            commands=(pip_install("packaging"),),
        )


_RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    *(_import, _backend, _jaxlib, _plugin, _libtpu, _idle_gpu, _idle_tpu, _packages, _at_odds_now),
    *(_no_accelerator, _distribution, _comparison),
)


def _platforms(environment: Mapping[str, str]) -> list[str]:
    return [word.strip() for word in environment.get("JAX_PLATFORMS", "").lower().split(",") if word.strip()]


def _cuda(facts: Facts) -> dict[str, str]:
    return {name: version for name, version in facts.plugins.items() if name.startswith("jax-cuda")}


def _kind(plugin: str) -> str:
    """The extra of jax that a plugin belongs to; empty for others than CUDA's and TPUs'."""
    if plugin == "libtpu":
        return "tpu"
    return plugin.split("-")[1] if plugin.startswith("jax-cuda") else ""


def _has(facts: Facts, name: str, specifier: str) -> bool:
    return facts.packages.get(name) is not None and allows(specifier, facts.packages[name])


def _jaxpr_takes_jax(facts: Facts, version: str) -> bool:
    return allows(requirements_here(facts.requirements).get("jax", ""), version)


def _at_odds(facts: Facts, jax: str) -> list[str]:
    """Packages that ask for another jax than this one."""
    return [name for name, specifier in facts.jax_wanted.items() if not allows(specifier, jax)]


def _pinned_jax(facts: Facts, extra: str = "") -> str:
    version = facts.packages.get("jax")
    return f"jax{f'[{extra}]' if extra else ''}{f'=={version}' if version else ''}"


def _move_jax(facts: Facts, version: str, *, jaxlib: bool = True) -> str:
    """Install this jax, with what of the rest would not work with it."""
    bounds = requirements_here(facts.requirements)
    moved = [f"{name}{bounds.get(name, '')}" for name in _at_odds(facts, version)]
    return pip_install(f"jax=={version}", *([f"jaxlib=={version}"] if jaxlib else []), *moved)


def _are(versions: Mapping[str, str]) -> str:
    return "are" if len(versions) > 1 else "is"


def _and(versions: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())
