"""The numbers of a run for other programs: evaluation results as model hubs read them."""

from pathlib import Path

from jaxpr.core import InputError, claim_folder, did_you_mean, given_path, printable, write_atomically
from jaxpr.records.hub import hub_yaml, model_index
from jaxpr.records.reading import read_record, restorer_names

__all__ = ["export_results"]

_SUFFIXES = (".yaml", ".yml")


def export_results(run: Path | str, *, out: Path | str, restorer: str | None = None, url: str | None = None) -> Path:
    """Write the numbers of one restorer as the `model-index` block of a model card's YAML.

    Args:
        run: folder of a finished run, or its `results.json`.
        out: file, .yaml or .yml; folders above it are made, an earlier file is replaced.
        restorer: name in the record; None where it has one only.
        url: where the report can be read, as the source of the numbers; None for nowhere.

    Returns:
        The path of the file.

    Raises:
        InputError: no finished run, no such restorer, several and none named, a file of another kind, or no URL.
    """
    record, out = read_record(run), given_path(out)
    names = restorer_names(record)
    known = printable(", ".join(names))
    if restorer is None and len(names) > 1:
        raise InputError(f"restorer: found none for a run of {len(names)}, expected one of {known}")
    name = names[0] if restorer is None else restorer
    if name not in names:
        raise InputError(f"restorer: found {name!r}, expected one of {known}{did_you_mean(name, names)}")
    if url is not None and (not url.startswith(("http://", "https://")) or printable(url) != url or " " in url):
        raise InputError(f"url: found {url!r}, expected http://... or https://...")
    if out.suffix not in _SUFFIXES:
        raise InputError(f"out: found {printable(out)}, expected a file ending in {' or '.join(_SUFFIXES)}")
    if out.is_dir():
        raise InputError(f"out: found a folder at {printable(out)}, expected a file")
    claim_folder("out", out.parent)
    write_atomically(out, hub_yaml(model_index(record, restorer=name, url=url)))
    return out
