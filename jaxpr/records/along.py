"""Restorers along alpha: which of a record are one restorer transported ever further, and which of them is best.

A transported restorer says under `weights` what was transported how; alpha = 1 is the restorer itself, x*, and
alpha = 0 the transported one, x̂₀ ([adrai2023], Eq. (4)).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxpr.core import InputError, described, is_number
from jaxpr.records.differences import compared
from jaxpr.records.results import Metric, RestorerResult, Results, from_record, to_record

__all__ = [
    "RESTORED",
    "SAME",
    "WISHES",
    "AlphaCurve",
    "Wish",
    "alpha_curves",
    "alpha_name",
    "best_alpha",
    "best_alphas",
    "check_lose_psnr",
    "curve_results",
    "moved_family",
    "usual_baseline",
]

RESTORED, MOVED = "x*", "x̂₀"
TRANSPORT, AUTOENCODED, _ENCODER = "transport", "autoencoded", "encoder"
SAME = 1e-9
"""Alphas that are so close are one."""
WISHES = {"least-joint-fd": "joint_fd_", "least-fd": "fd_", "least-niqe": "niqe", "least-lpips": "lpips_"}
"""Words for what should be least, and the beginnings of the metrics' names."""
_NEEDS = {
    "least-joint-fd": "measurements and truths",
    "least-fd": "natural images or truths",
    "least-niqe": "large enough images",
    "least-lpips": "truths",
}


class AlphaCurve(NamedTuple):
    """One restorer, transported by one map, at several alphas.

    Attributes:
        title: by which it is told from the others of the record.
        alphas: ascending, two at least.
        entries: those of the record, for each of `alphas`.
        whole: names of the entries that were transported; the restorer itself is not among them unless it was asked
            for as alpha = 1.
        transport: what the transport says of itself.
        itself: the entry of the restorer without transport; None where it is not there, or only as alpha = 1.
        again: the entry of the restorer encoded and decoded without transport, D(E(x*)); None where there is none.
        ceiling: of the record's references what the autoencoder makes of the truth, D(E(x)); None where there is none.
    """

    title: str
    alphas: tuple[float, ...]
    entries: tuple[Mapping[str, Any], ...]
    whole: tuple[str, ...]
    transport: Mapping[str, Any]
    itself: Mapping[str, Any] | None
    again: Mapping[str, Any] | None
    ceiling: Mapping[str, Any] | None

    def at(self, alpha: float) -> Mapping[str, Any] | None:
        """The entry at alpha, None if there is none."""
        found = (entry for other, entry in zip(self.alphas, self.entries, strict=True) if abs(alpha - other) < SAME)
        return next(found, None)


class Wish(NamedTuple):
    """The measured alpha that is best for a wish.

    Attributes:
        wish: one of `WISHES`.
        lose_psnr: decibels of PSNR that may be lost; None for any.
        alpha: the best of those that were measured.
        metric: name of what is least there.
        value: it.
        psnr_lost: of x*'s, in decibels; None where it was not measured.
    """

    wish: str
    lose_psnr: float | None
    alpha: float
    metric: str
    value: float
    psnr_lost: float | None


def alpha_name(alpha: float) -> str:
    """What the outputs at alpha are called."""
    if abs(alpha - 1) < SAME:
        return RESTORED
    return MOVED if abs(alpha) < SAME else f"x̂ at α = {alpha:g}"


def moved_family(family: str, setting: float | None) -> str:
    """The family of a restorer once it is transported, whose setting is alpha then: its own setting moves into it."""
    return family if setting is None else f"{family} {setting:g}"


def alpha_curves(record: Mapping[str, Any]) -> list[AlphaCurve]:
    """The restorers of a record that were transported, each with the restorer that it was, in the record's order.

    Args:
        record: the dict of `results.json`.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for entry in record["restorers"]:
        if (moved := _transport(entry)) is not None:
            of = (moved.get(part) for part in ("sha256", "encode", "noise"))
            key = (entry.get("family"), entry.get("variant"), *of)
            groups.setdefault(key, []).append(entry)
    curves: list[AlphaCurve] = []
    for entries in groups.values():
        if (curve := _curve(record, entries)) is not None:
            count = sum(curve.title == other.title.partition(" #")[0] for other in curves)
            curves.append(curve._replace(title=f"{curve.title} #{count + 1}") if count else curve)
    return curves


def _curve(record: Mapping[str, Any], moved: Sequence[Mapping[str, Any]]) -> AlphaCurve | None:
    """Of entries that differ in alpha only; None where they are fewer than two, with the restorer itself."""
    first = moved[0]
    transport = _transport(first) or {}
    kinds = str(first.get("variant") or "").split("+")
    rest = [kind for position, kind in enumerate(kinds) if position != _last(kinds, TRANSPORT)]
    family, plain = str(_family(first)), "+".join(rest)
    others = [entry for entry in record["restorers"] if _transport(entry) is None]
    own = [e for e in others if moved_family(str(_family(e)), e.get("setting")) == family]
    along = {float((_transport(entry) or {})["alpha"]): entry for entry in moved}
    itself = next((entry for entry in own if (entry.get("variant") or "") == plain), None)
    if itself is not None and not any(abs(alpha - 1) < SAME for alpha in along):
        along[1.0] = itself
    if len(along) < 2:
        return None
    encoder = transport.get(_ENCODER)
    again = (e for e in own if _autoencoder(e) == encoder and (e.get("variant") or "") == _joined(plain, AUTOENCODED))
    ceilings = (record.get("references") or {}).get("ceilings") or ()
    alphas = tuple(sorted(along))
    return AlphaCurve(
        _joined(family, plain),
        alphas,
        tuple(along[alpha] for alpha in alphas),
        tuple(entry["name"] for entry in moved),
        transport,
        itself,
        next(again, None),
        next((ceiling for ceiling in ceilings if ceiling.get(_ENCODER) == encoder), None),
    )


def curve_results(record: Mapping[str, Any], curve: AlphaCurve) -> Results:
    """A curve as results of their own: a row for each alpha, D(E(x*)) and D(E(x)), with differences from x*.

    Args:
        record: that the curve is of.
        curve: of `alpha_curves`.
    """
    entries = [(alpha_name(alpha), entry) for alpha, entry in zip(curve.alphas, curve.entries, strict=True)]
    entries += [(f"D(E({RESTORED}))", curve.again)] if curve.again is not None else []
    entries += [("D(E(x))", curve.ceiling)] if curve.ceiling is not None else []
    rows = [{"curves": {}, "labels": {}, "name": name, "metrics": entry["metrics"]} for name, entry in entries]
    names = {"protocol": record.get("protocol") or {}, "provenance": {}, "references": {}}
    results = from_record({**names, "restorers": rows})
    return compared(results, baseline=RESTORED) if curve.at(1.0) is not None else results


def usual_baseline(results: Results) -> str:
    """Name of the restorer that differences are from unless somebody says otherwise: the first, or the x* that it was.

    Args:
        results: of an evaluation, or of several.
    """
    first = results.restorers[0].name
    for curve in alpha_curves(to_record(results)):
        if first in curve.whole and (itself := curve.at(1.0)) is not None:
            return str(itself["name"])
    return first


def best_alpha(
    alphas: Sequence[float], rows: Sequence[RestorerResult], *, wish: str = "least-fd", lose_psnr: float | None = None
) -> Wish:
    """The alpha that is best for a wish, among those that were measured; of equal ones that nearest to x*.

    Args:
        alphas: that were measured; 1 among them where PSNR may be lost.
        rows: of each of them, first of all rows.
        wish: what should be least, one of `WISHES`.
        lose_psnr: decibels of mean PSNR that may be lost from that of x*; None for any.

    Raises:
        InputError: no such wish, or what it needs was not measured.
    """
    _check_wish(wish, lose_psnr)
    along = list(zip(alphas, rows, strict=False))
    metric = next((name for _, row in along for name in row.metrics if name.startswith(WISHES[wish])), None)
    known = [] if metric is None else [(a, row) for a, row in along if _is_finite(row, metric)]
    if metric is None or not known:
        raise InputError(f"wish: found {wish} where it was not measured, expected {_NEEDS[wish]}")
    best = next((row.metrics.get("psnr") for a, row in along if abs(a - 1) < SAME), None)
    if lose_psnr is not None:
        if best is None:
            raise InputError("lose_psnr: found a wish for PSNR without that of x*, expected truths")
        known = [(a, row) for a, row in known if _lost(row, best) <= lose_psnr + SAME]
        if not known:
            raise InputError(f"lose_psnr: found {wish} undefined wherever no more is lost, expected more decibels")
    alpha, row = min(known, key=lambda pair: (pair[1].metrics[metric].value, abs(pair[0] - 1)))
    lost = None if best is None else _lost(row, best)
    return Wish(wish, lose_psnr, alpha, metric, row.metrics[metric].value, lost)


def best_alphas(
    record: Mapping[str, Any], *, wish: str = "least-joint-fd", lose_psnr: float | None = None
) -> dict[str, Wish]:
    """For each transported restorer of a finished run the measured alpha that is best for a wish; nothing is run.

    Args:
        record: the dict of `results.json`, such as of `read_record`.
        wish: as of `best_alpha`.
        lose_psnr: as of `best_alpha`.

    Returns:
        By the titles of `alpha_curves`; without those in which it was not measured.

    Raises:
        InputError: no such wish, or nothing was transported.
    """
    _check_wish(wish, lose_psnr)
    curves = alpha_curves(record)
    if not curves:
        raise InputError("record: found no restorer along alpha, expected some of SPEC+transport:curve")
    found = {}
    for curve in curves:
        try:
            rows = curve_results(record, curve).restorers
            found[curve.title] = best_alpha(curve.alphas, rows, wish=wish, lose_psnr=lose_psnr)
        except InputError:
            continue
    return found


def _check_wish(wish: str, lose_psnr: float | None) -> None:
    if wish not in WISHES:
        raise InputError(f"wish: found {wish!r}, expected one of {', '.join(WISHES)}")
    if lose_psnr is not None:
        check_lose_psnr(lose_psnr)


def check_lose_psnr(lose_psnr: float) -> None:
    """Raise InputError unless it is a number of decibels that may be lost."""
    if not (is_number(lose_psnr) and 0 <= lose_psnr < math.inf):
        raise InputError(f"lose_psnr: found {described(lose_psnr)}, expected decibels of zero or more")


def _is_finite(row: RestorerResult, metric: str) -> bool:
    return metric in row.metrics and math.isfinite(row.metrics[metric].value)


def _lost(row: RestorerResult, best: Metric) -> float:
    own = row.metrics["psnr"].value if "psnr" in row.metrics else math.nan
    return 0.0 if own == best.value else best.value - own  # both may be infinite


def _transport(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an entry says of its transport; None of what was not transported."""
    found = (entry.get("weights") or {}).get(TRANSPORT)
    return found if isinstance(found, Mapping) and is_number(found.get("alpha")) else None


def _autoencoder(entry: Mapping[str, Any]) -> Any:
    return (entry.get("weights") or {}).get("autoencoder")


def _family(entry: Mapping[str, Any]) -> Any:
    return entry.get("family") or entry["name"]


def _last(parts: Sequence[str], part: str) -> int:
    return max((position for position, other in enumerate(parts) if other == part), default=-1)


def _joined(first: str, second: str) -> str:
    return f"{first}+{second}" if first and second else first or second
