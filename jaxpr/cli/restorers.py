"""`jaxpr restorers`: the words of `--restorers`."""

from dataclasses import dataclass

from jaxpr.restorers.words import words_table
from jaxpr.weights.packaged import PACKAGED_RESTORERS

__all__ = ["Restorers"]


@dataclass(frozen=True, kw_only=True)
class Restorers:
    """List the words of --restorers and what they mean, and the names of the trained restorers that come with jaxpr."""

    def run(self) -> None:
        """Print the table and the names."""
        for shown, means in words_table():
            print(f"{shown}\n    {means}")
        print(f"\nTrained restorers that come with jaxpr ({len(PACKAGED_RESTORERS)}):")
        for name in PACKAGED_RESTORERS:
            print(f"  {name}")
