"""`jaxpr reproduce`: experiments of the papers, as tables, figures and one page."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxpr._core import InputError
from jaxpr.experiment import NAMES, Scale, reproduce, use_all_cores

__all__ = ["Reproduce"]


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run experiments of the papers and write one page with their figures beside what the papers report."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """all, or some of pr_toy_denoising, so_toy_disk, dot_mixture, up_toy, md_toy_selection, pr_superresolution,
    pr_pipeline_attack, pr_posterior_exploration, so_restoration_gans, so_stochastic_attack, so_smoothing."""

    out: Path
    """Folder for index.html and, for each experiment, record.json and figures; earlier ones are replaced."""

    scale: Scale = "small"
    """smoke: seconds each; small: minutes on two CPU cores; paper: the papers' sizes."""

    def run(self) -> None:
        """Run them and print their tables."""
        if not self.names:
            raise InputError(f"names: found none, expected all or some of {', '.join(NAMES)}")
        use_all_cores()
        page = reproduce(NAMES if self.names == ("all",) else self.names, self.scale, self.out)
        print(f"Page: {page}")
