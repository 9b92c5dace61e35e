"""`jaxpr reproduce`: experiments of the papers, as tables, figures and one page."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxpr.core import InputError, Scale, given_path
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.reproduce import GROUPS, NAMES, reproduce, use_all_cores

__all__ = ["Reproduce"]


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run experiments of the papers and write one page with their figures beside what the papers report."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """all; toys (pr_toy_denoising, so_toy_disk, dot_mixture, up_toy, md_toy_selection); restorers (pr_superresolution,
    pr_pipeline_attack, pr_posterior_exploration, so_restoration_gans, so_stochastic_attack, so_smoothing); or some."""

    out: Path
    """Folder for index.html and, for each experiment, record.json and figures; earlier ones are replaced."""

    scale: Scale = "small"
    """smoke: seconds each; small: minutes on two CPU cores; paper: the papers' sizes."""

    def run(self) -> None:
        """Run them and print their tables."""
        if not self.names:
            raise InputError(f"names: found none, expected all, toys, restorers, or some of {', '.join(NAMES)}")
        use_all_cores()
        warn_of_idle_accelerator()
        groups = {"all": NAMES, **GROUPS}
        names = dict.fromkeys(name for word in self.names for name in groups.get(word, (word,)))
        page = reproduce(tuple(names), self.scale, given_path(self.out))
        print(f"Page: {page}")
