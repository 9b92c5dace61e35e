"""`jaxpr doctor`: what is installed, what computes, what is wrong with it and how to mend it."""

import json as json_format
from dataclasses import dataclass

from jaxpr.doctor import collect_facts, diagnose, report_record, report_text

__all__ = ["Doctor", "examine"]


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Print versions, devices and settings for a bug report, what is wrong, and which command mends it.

    Exit code 0: nothing is wrong; 1: something is.
    """

    json: bool = False
    """Print facts and findings as JSON."""

    def run(self) -> None:
        """Print, and exit with code 1 if something is wrong."""
        if not examine(json=self.json):
            raise SystemExit(1)


def examine(*, json: bool, import_error: str | None = None) -> bool:
    """Print what was found; return whether nothing is wrong.

    Args:
        json: for programs.
        import_error: what Python said when the other commands were imported, if it was an error.
    """
    facts = collect_facts(import_error=import_error)
    findings = diagnose(facts)
    if json:
        print(json_format.dumps(report_record(facts, findings), indent=1))
    else:
        print(report_text(facts, findings))
    return not any(finding.wrong for finding in findings)
