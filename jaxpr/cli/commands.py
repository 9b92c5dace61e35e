"""The `jaxpr` command.

Bad input ends with one line on stderr and exit code 2; an interrupted run resumes with the same command.
"""

import functools
import sys
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import tyro

from jaxpr.cli.compare import Compare, Export
from jaxpr.cli.decisions import Decisions
from jaxpr.cli.doctor import Doctor
from jaxpr.cli.evaluate import Evaluate
from jaxpr.cli.explore import Explore
from jaxpr.cli.reproduce import Reproduce
from jaxpr.cli.restorers import Restorers
from jaxpr.cli.train import Train
from jaxpr.cli.transport import TransportApply, TransportFolders
from jaxpr.cli.weights import Weights
from jaxpr.cli.words import in_users_words, parse
from jaxpr.endings import one_line_endings

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "evaluate": Evaluate,
    "compare": Compare,
    "export": Export,
    "decisions": Decisions,
    "explore": Explore,
    "restorers": Restorers,
    "reproduce": Reproduce,
    "train": Train,
    "transport": TransportFolders,
    "weights": Weights,
    "doctor": Doctor,
}

_RESUMED = (Evaluate, Train, TransportApply)
_Command: TypeAlias = (
    Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Decisions, tyro.conf.subcommand("decisions")]
    | Annotated[Explore, tyro.conf.subcommand("explore")]
    | Annotated[Restorers, tyro.conf.subcommand("restorers")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[TransportFolders, tyro.conf.subcommand("transport")]
    | Annotated[Weights, tyro.conf.subcommand("weights")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: words after the program's name; None takes them from the terminal.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_endings(may_exit=True):
        command = parse(_Command, tuple(COMMANDS), typed)
    kept = "; the same command resumes the run" if isinstance(getattr(command, "action", command), _RESUMED) else ""
    words = functools.partial(in_users_words, command=command)
    with one_line_endings(words=words, kept=kept, may_exit=isinstance(command, Doctor)):
        if isinstance(command, Evaluate):
            command.run(typed=typed)
        else:
            command.run()


if __name__ == "__main__":
    main()
