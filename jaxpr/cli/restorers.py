"""`jaxpr restorers`: the words of `--restorers`."""

from dataclasses import dataclass

from jaxpr.restorers.words import words_table
from jaxpr.weights.packaged import PACKAGED_AUTOENCODERS, PACKAGED_DENOISERS, PACKAGED_RESTORERS

__all__ = ["Restorers"]


@dataclass(frozen=True, kw_only=True)
class Restorers:
    """List the words of --restorers, what they mean, and the trained networks that come with jaxpr."""

    def run(self) -> None:
        """Print the table and the names."""
        for shown, means in words_table():
            print(f"{shown}\n    {means}")
        for kind, names in (
            ("restorers", PACKAGED_RESTORERS),
            ("denoisers", PACKAGED_DENOISERS),
            ("autoencoders", PACKAGED_AUTOENCODERS),
        ):
            print(f"\nTrained {kind} that come with jaxpr ({len(names)}):")
            for name in names:
                print(f"  {name}")
