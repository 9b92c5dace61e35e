"""The `jaxpr` command: words in, calls out. Nothing is imported before a command is asked for."""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: words after the program's name; None takes them from the terminal.
    """
    from jaxpr.cli.commands import main as run

    run(arguments)
