"""Facts and findings as text for a person and as a record for a program."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jaxpr.doctor.facts import Facts, Finding, Memory
from jaxpr.doctor.requirements import install_line

__all__ = ["report_record", "report_text"]


def report_text(facts: Facts, findings: Sequence[Finding]) -> str:
    """One line per fact, then one paragraph per finding."""
    wrong = sum(finding.wrong for finding in findings)
    verdict = {0: "Nothing is wrong.", 1: "One thing is wrong."}.get(wrong, f"{wrong} things are wrong.")
    return "\n\n".join(["\n".join(_lines(facts)), verdict, *(_paragraph(finding) for finding in findings)])


def report_record(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same, JSON-able: `ok`, `facts`, `findings`, and the line that `install_line` gives."""
    return {
        "ok": not any(finding.wrong for finding in findings),
        "facts": asdict(facts),
        "findings": [asdict(finding) for finding in findings],
        "install": install_line("./jaxpr", jax=facts.packages.get("jax")),
    }


def _lines(facts: Facts) -> list[str]:
    source = "not installed, runs from its source" if facts.installed is None else f"installed: {facts.installed}"
    devices = Counter((device.platform, device.kind) for device in facts.devices)
    lines = [
        f"python: {facts.python}",
        f"platform: {facts.platform}",
        f"jaxpr: {facts.jaxpr} ({source})",
        f"packages: {_pairs(facts.packages)}",
        f"plugins of JAX: {_pairs(facts.plugins) or 'none'}",
        f"backend: {facts.backend or 'none'}",
        f"devices: {', '.join(f'{n} × {kind} ({on})' for (on, kind), n in devices.items()) or 'none'}",
        f"dtypes: {_pairs(facts.dtypes) or 'not tried'}",
        f"host memory: {_memory(facts.memory)}",
    ]
    memories = {number: device.memory for number, device in enumerate(facts.devices) if device.memory is not None}
    lines += [f"memory of device {number}: {_memory(memory)}" for number, memory in memories.items()]
    lines += [f"{name}={value}" for name, value in facts.environment.items()]
    command = install_line("./jaxpr", jax=facts.packages.get("jax"))
    return [*lines, f"to install a clone of jaxpr and leave this jax alone: {command}"]


def _paragraph(finding: Finding) -> str:
    return "\n".join(
        [f"{'wrong' if finding.wrong else 'note'}: {finding.text}", *(f"    {c}" for c in finding.commands)]
    )


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {value or 'missing'}" for name, value in values.items())


def _memory(memory: Memory) -> str:
    free, total = (("unknown" if n is None else f"{n / 2**30:.1f} GiB") for n in (memory.free, memory.total))
    return f"{free} free of {total}"
