"""The `jaxpr` command as it is installed: `jaxpr.cli.commands`, or where that cannot be imported `jaxpr doctor` alone.

A package that is missing or of the wrong version may keep every command from being imported; the one that says which
package must still run then.
"""

import sys

from jaxpr.endings import one_line_endings

__all__ = ["main"]


def main() -> None:
    """Run the command line of the terminal."""
    with one_line_endings(may_exit=True):
        try:
            from jaxpr.cli.commands import main as run
        except Exception as error:  # whatever packages raise when they do not fit each other
            _stop_or_examine(f"{type(error).__name__}: {' '.join(str(error).split())}")
    run()


def _stop_or_examine(error: str) -> None:
    from jaxpr.cli.doctor import examine  # needs no package but Python

    if sys.argv[1:2] == ["doctor"]:
        sys.exit(0 if examine(json="--json" in sys.argv, import_error=error) else 1)
    print(f"error: jaxpr cannot be imported ({error}); `jaxpr doctor` says what mends it", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
