"""What papers report on the test set of a run, beside its own numbers: whether the set-up is right shows at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxpr.records.reading import measured

__all__ = ["PublishedTable", "published_shown", "published_text"]


class PublishedTable(NamedTuple):
    """Published numbers beside those of a run.

    Attributes:
        title: of the table.
        lead: how the numbers were measured, and whether the run's own were measured so.
        rows: name, PSNR, SSIM and source of each; the run's own first.
    """

    title: str
    lead: str
    rows: Sequence[tuple[str, str, str, str]]


def published_shown(record: Mapping[str, Any]) -> PublishedTable | None:
    """The table of a record, or None where papers report nothing on its images."""
    known = (record.get("references") or {}).get("published")
    if not known:
        return None
    title = f"Published on {known['set']}, {(record.get('protocol') or {}).get('degradation', '')}"
    return PublishedTable(title, _lead(known), [*_own(record), *map(_row, known["networks"])])


def published_text(record: Mapping[str, Any]) -> str:
    """The same for a terminal, with the presets that the run meets; "" for neither."""
    presets = (record.get("provenance") or {}).get("presets") or {}
    lines = [
        f"Protocol {name}: {', '.join(f'{setting} {_word(value)}' for setting, value in sets.items())}"
        for name, sets in presets.items()
    ]
    if (shown := published_shown(record)) is not None:
        width = max(len(name) for name, *_ in shown.rows)
        rows = [
            f"  {name:<{width}}  {psnr:>6}  {ssim:>6}  {source}".rstrip() for name, psnr, ssim, source in shown.rows
        ]
        lines += [f"{shown.title} (PSNR, SSIM). {shown.lead}", *rows]
    return "\n".join(lines)


def _lead(known: Mapping[str, Any]) -> str:
    if not known["differs"]:
        return f"Measured here as there, but that programs round x̂ to 8 bits first (protocol {known['protocol']})."
    differing = ", ".join(known["differs"])
    return f"Not measured here as there: {differing} differ; --protocol {known['protocol']} makes them equal."


def _own(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for entry in record["restorers"]:
        psnr, ssim = measured(entry, "psnr"), measured(entry, "ssim")
        if psnr is not None:
            yield entry["name"], f"{psnr.value:.2f}", "–" if ssim is None else f"{ssim.value:.4f}", "this run"


def _row(network: Mapping[str, Any]) -> tuple[str, str, str, str]:
    ssim = network.get("ssim")
    return network["network"], f"{network['psnr']:.2f}", "–" if ssim is None else f"{ssim:.4f}", network["source"]


def _word(value: Any) -> str:
    return "none" if value is None else str(value)
