"""`jaxpr reproduce`: experiments of the papers, as tables, figures and one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jaxpr.core import Scale, given_path
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.reproduce import chosen_experiments, experiment_names, reproduce, use_all_cores

__all__ = ["Reproduce"]


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run experiments of the papers and write one page with their figures beside what the papers report."""

    names: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(help=f"all, the key of a paper, or some of {', '.join(experiment_names())}."),
    ]

    out: Path
    """Folder for index.html and, for each experiment, record.json and figures; earlier ones are replaced."""

    scale: Scale = "small"
    """smoke: seconds each; small: minutes on two CPU cores; paper: the papers' sizes."""

    def run(self) -> None:
        """Run them and print their tables."""
        warn_of_idle_accelerator()
        names = chosen_experiments(self.names)
        use_all_cores()
        page = reproduce(names, self.scale, given_path(self.out))
        print(f"Page: {page}")
