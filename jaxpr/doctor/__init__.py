"""What is installed and what computes, what is wrong with it, and the command that mends it: `jaxpr doctor`.

Needs nothing but Python to be imported, so that it also works where JAX, Flax or another package is missing or broken.
"""

from jaxpr.doctor.collect import collect_facts, installed_plugins, warn_of_idle_accelerator
from jaxpr.doctor.facts import Device, Facts, Finding, Memory
from jaxpr.doctor.findings import diagnose, idle_accelerator
from jaxpr.doctor.requirements import install_line, pip_install
from jaxpr.doctor.wording import report_record, report_text

__all__ = [
    "Device",
    "Facts",
    "Finding",
    "Memory",
    "collect_facts",
    "diagnose",
    "idle_accelerator",
    "install_line",
    "installed_plugins",
    "pip_install",
    "report_record",
    "report_text",
    "warn_of_idle_accelerator",
]
