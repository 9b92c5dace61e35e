r"""K̄ against joint perceptual quality along a family of super-resolvers: Figures 3, 9 to 20 and App. E of [ohayon2024].

    python experiments/ohayon2024/superresolution.py [--scale smoke|small|paper] [--out FOLDER] [--runs FOLDER]
        [--given RESTORER ...]

Photographs reduced by bicubic ×4 are restored by one RRDBNet trained at several adversarial weights w (rrdb:w, of which
rrdb:0 has the pixel loss alone), by its robust twin (rrdb:0.03+robust), and by classical restorers. I-FGSM with
α = 1/255 gives K̄; Fréchet, kernel, precision and recall measures of patch features give perceptual quality, and of
pairs with the features of y joint perceptual quality.

Small, two CPU cores, 1 min 18 s; value ± standard error over five photographs:

    w                 0       0.001       0.003        0.01        0.03         0.1   0.03+robust
    K̄         6.9 ± 0.4   7.5 ± 0.5   8.6 ± 0.5      14 ± 2      23 ± 4      29 ± 6     8.0 ± 0.3
    √joint FD    11 ± 2      11 ± 2      10 ± 2   9.3 ± 1.8   9.2 ± 1.9      10 ± 2     9.4 ± 1.6

Spearman's coefficient of the two along the family is -0.83 ± 0.14. Of the claims one does not hold: √joint FD tells no
cost of robustness, 0.2 ± 0.8; LPIPS rises from 0.10 to 0.13.

paper: whole images of DIV2K's validation set, which its authors offer, in data/DIV2K_valid_HR, patches and attack of
the paper, Inception features, and published networks, where `jaxpr weights fetch` has them. What differs: the paper
tests on the Track1 and Track2 degradations, too, with networks made for them.
"""

import contextlib
import functools
import itertools
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxpr.core import InputError
from jaxpr.data import ImageSource, image_folder, photos
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import SCALES, Protocol, evaluate
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.measure import degrader
from jaxpr.evaluation.pictures import load_strips
from jaxpr.evaluation.sets import merged_groups, moments_by_block
from jaxpr.evaluation.state import BatchStore
from jaxpr.metrics import Moments, SmallSampleWarning, frechet_distance
from jaxpr.numerics.statistics import jackknife_error
from jaxpr.records import read_record
from jaxpr.report import (
    Strip,
    figure_consistency,
    figure_robustness,
    figure_strip,
    figure_tradeoff,
)
from jaxpr.report.experiments import Cell
from jaxpr.report.text import format_value
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce import indices as ji
from jaxpr.reproduce.statistics import rank_correlation
from jaxpr.restorers import Restorer, Training, build_restorers
from jaxpr.restorers.published import PUBLISHED_RESTORERS
from jaxpr.restorers.trained import trained_restorer
from jaxpr.weights import OFFICIAL_FILES, weights_folder

SEED, FACTOR, DEGRADATION = 0, 4, "bicubic-x4"
WEIGHTS = ("0.001", "0.003", "0.01", "0.03", "0.1")
PIXEL, TWIN, ROBUST = "rrdb:0", "rrdb:0.03", "rrdb:0.03+robust"
FAMILY = {PIXEL: "photos-l1", **{f"rrdb:{w}": f"photos-gan-{w}" for w in WEIGHTS}}
"""Names here, in the order of adversarial weights, and names of the trained restorers."""
TRAINED = {**FAMILY, ROBUST: "photos-gan-0.03-robust"}
PLACES: dict[str, dict[str, Any]] = {
    PIXEL: {"family": "rrdb", "setting": 0.0},
    **{f"rrdb:{w}": {"family": "rrdb", "setting": float(w)} for w in WEIGHTS},
    ROBUST: {"family": "rrdb", "setting": 0.03, "variant": "robust"},
}
"""Where each stands in figures: all on one line, the robust one beside its twin."""
CLASSICAL = ("nearest", "bicubic", "lanczos", "lmmse", "exemplar:0.3", "exemplar:0.1", "exemplar:0.03")
PAPER_DATA = Path("data/DIV2K_valid_HR")
PAPER_OUT = Path("runs/ohayon2024/superresolution-evaluation")
GAIN = "metric_lipschitz_mean"  # of the stored batches


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        protocol: of the evaluation.
        dictionary: number of exemplars.
        batch: examples computed together.
        family: members along the family, of `FAMILY`.
        classical: other restorers.
    """

    protocol: Protocol
    dictionary: int
    batch: int
    family: tuple[str, ...] = tuple(FAMILY)
    classical: tuple[str, ...] = CLASSICAL


FEW = SCALES["small"]._replace(sweep=(), lipschitz_iterations=0, uncertainty_block=0)
SIZES = {
    "smoke": Sizes(
        FEW._replace(crop=64, limit=4, patch_size=12, patch_stride=4, attack_steps=1),
        64,
        4,
        (PIXEL, TWIN),
        ("nearest",),
    ),
    "small": Sizes(FEW._replace(crop=96, limit=20, patch_size=16, patch_stride=4, attack_steps=5), 512, 10),
    "paper": Sizes(SCALES["paper"]._replace(sweep=(), lipschitz_iterations=0), 16_384, 1),
}


def restorers(sizes: Sizes, runs: Path | None, given: Sequence[str], *, tile: int | None) -> dict[str, Restorer]:
    """The family, classical restorers, and those whose weights are given."""
    degradation = parse_degradation(DEGRADATION)
    training = Training(
        images=lambda: photos("train"),
        degrade=degrader(degradation, bits=sizes.protocol.measurement_bits, compiled=jax.jit),
        degradation=degradation,
        channels=3,
        dictionary=sizes.dictionary,
        key=jax.random.key(SEED),
        tile=tile,
    )
    sources = {
        name: word if runs is None else runs / word / "weights.safetensors"
        for name, word in TRAINED.items()
        if name in (*sizes.family, ROBUST)
    }
    family = {name: replace(trained_restorer(source), **PLACES[name]) for name, source in sources.items()}
    return family | build_restorers((*sizes.classical, *given), training)


def fetched() -> tuple[str, ...]:
    """Published networks of this scale whose files `jaxpr weights fetch` has stored."""
    names = (name for name in PUBLISHED_RESTORERS if name.endswith(f"-x{FACTOR}"))
    return tuple(name for name in names if (weights_folder(None) / OFFICIAL_FILES[name].file).exists())


def paper(protocol: Protocol) -> tuple[ImageSource, Protocol]:
    """DIV2K's validation set, and Inception features where `jaxpr weights fetch` has stored them."""
    if not PAPER_DATA.is_dir():
        raise InputError(f"data: found no folder {PAPER_DATA}, expected DIV2K's validation images for scale paper")
    path = weights_folder(None) / OFFICIAL_FILES["inception-fid"].file
    return image_folder(PAPER_DATA), protocol._replace(features=f"inception:{path}") if path.exists() else protocol


class Measured(NamedTuple):
    """What an evaluation found.

    Attributes:
        record: of `evaluate`.
        strip: all outputs on one example.
        left_out: K̄ and √joint FD of each restorer without each photograph (or block of them) in turn, (G, 2).
    """

    record: dict[str, Any]
    strip: Strip
    left_out: dict[str, np.ndarray]


def without_each(stores: Mapping[str, BatchStore], reference: BatchStore, groups: np.ndarray) -> dict[str, np.ndarray]:
    """`Measured.left_out`: since all restorers see the same photographs, it tells the errors of their differences."""
    count, blocks, found = len(groups), merged_groups(groups), {}

    def column(store: BatchStore, name: str) -> list[np.ndarray]:
        return [arrays[name] for arrays in store.load(count)]

    y = column(reference, "features_y")
    real = moments_by_block(column(reference, "features_x"), y, groups)
    for name, store in stores.items():
        fake, gains = moments_by_block(column(store, "features"), y, groups), np.array(column(store, GAIN))
        rows = []
        for block in range(len(real)):
            sides = (side[:block] + side[block + 1 :] for side in (real, fake))
            truth, restored = (functools.reduce(Moments.merge, side) for side in sides)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SmallSampleWarning)  # a remark says it
                rows.append((gains[blocks != block].mean(), math.sqrt(float(frechet_distance(truth, restored)))))
        found[name] = np.array(rows)
    return found


def measure(scale: str, runs: Path | None, given: Sequence[str]) -> Measured:
    """Evaluate; the strip shows the example of most contrast among those whose images are kept."""
    sizes, large = SIZES[scale], scale == "paper"
    images, protocol = paper(sizes.protocol) if large else (photos("test"), sizes.protocol)
    named = restorers(sizes, runs, (*given, *(fetched() if large else ())), tile=64 if large else None)
    options: dict[str, Any] = {"protocol": protocol, "batch_size": sizes.batch, "progress": large}
    # A folder that stays, to resume, where an evaluation takes hours.
    with contextlib.nullcontext(PAPER_OUT) if large else tempfile.TemporaryDirectory() as name:
        out = Path(name)
        evaluate(jax.random.key(SEED), named, images, DEGRADATION, out=out, **options)
        record = read_record(out)
        count, state = record["protocol"]["examples"], out / "state"
        reference = BatchStore(state, "reference images")
        kept = [i for i, arrays in enumerate(reference.load(count)) if any("picture" in name for name in arrays)]
        stores = {name: BatchStore(state, name) for name in named}
        strips = load_strips({i: f"example {i}" for i in kept}, stores, reference, count=count)
        groups = examples_of(images, parse_degradation(DEGRADATION), protocol).groups
        left_out = without_each(stores, reference, groups)
    return Measured(record, max(strips, key=lambda strip: float(strip.x.std())), left_out)


def left_out_ranks(found: Measured, names: Sequence[str]) -> list[float]:
    """The same of √joint FD, without each photograph in turn."""
    return [rank_correlation(*block.T) for block in np.stack([found.left_out[n] for n in names], axis=1)]


def tables(found: Measured) -> list[Table]:
    """The main numbers of every restorer, all indices, and rank correlations."""
    record = found.record
    names, protocol = [entry["name"] for entry in record["restorers"]], record["protocol"]
    main_rows: list[list[Cell]] = []
    index_rows: list[list[Cell]] = []
    for entry in ji.entries(record, names):
        joint_fd = ji.index_values(record, entry, ji.FD)[1]
        cells = [ji.read(entry, "lipschitz_mean"), joint_fd, ji.read(entry, "rmse", 255), ji.read(entry, "psnr")]
        cells += [ji.read(entry, "lpips_alexnet"), ji.read(entry, "lr_psnr"), ji.read(entry, "adversarial_output_psnr")]
        main_rows.append([entry["name"], *cells])
        both = [ji.index_values(record, entry, index)[:2] for index in ji.INDICES]
        index_rows.append([entry["name"], *itertools.chain(*both)])
    title = f"{protocol['examples']} crops of {protocol['images']} photographs, {protocol['patches']} patches"
    columns = ["", "K̄", "√joint FD", "RMSE /255", "PSNR dB", "LPIPS", "LR-PSNR dB", "attacked output dB"]
    plain = ("√FD", "√joint FD", "√KD", "√joint KD", "1 - P", "1 - JP", "1 - R", "1 - JR")
    ranks: list[list[Cell]] = []
    for index in ji.INDICES:
        row: list[Cell] = [f"K̄, joint {index.letters}"]
        for group in ([name for name in FAMILY if name in names], names):
            error = jackknife_error(left_out_ranks(found, group)) if index is ji.FD else math.nan
            row.append((ji.ranked(record, group, index), error))
        ranks.append(row)
    return [
        Table(f"{title}, value ± standard error over photographs", columns, main_rows),
        Table("Perceptual indices and joint ones, lower is better", ["", *plain], index_rows),
        Table("Spearman's coefficient, ± standard error (FD only)", ["", "family", "all restorers"], ranks),
    ]


def claims(found: Measured) -> list[Claim]:
    """What the paper says, on these restorers."""
    record, members = found.record, [name for name in FAMILY if name in found.left_out]
    family, names = ji.entries(record, members), [entry["name"] for entry in record["restorers"]]
    gains = [ji.read(entry, "lipschitz_mean") for entry in family]
    rho = {index.letters: ji.ranked(record, members, index) for index in ji.INDICES}
    along = rho["FD"], jackknife_error(left_out_ranks(found, members))
    opposed, every = ji.opposite_pairs(record, members), ji.opposite_pairs(record, names)
    twin, robust = ji.entries(record, (TWIN, ROBUST))
    errors = [jackknife_error(column) for column in (found.left_out[TWIN] - found.left_out[ROBUST]).T]
    calmer = ji.read(twin, "lipschitz_mean")[0] - ji.read(robust, "lipschitz_mean")[0], errors[0]
    farther = ji.index_values(record, robust, ji.FD)[1][0] - ji.index_values(record, twin, ji.FD)[1][0], errors[1]
    natural = [ji.index_values(record, entry, ji.FD)[0][0] for entry in family]
    rmse = rank_correlation([ji.read(entry, "rmse")[0] for entry in family], natural)
    kernels = [ji.index_values(record, entry, ji.KD) for entry in ji.entries(record, names)]
    line = np.array([(k[0][0], k[2][0]) for k in kernels if math.isfinite(k[0][0] + k[2][0])])
    straight = float(np.corrcoef(line.T)[0, 1]) if len(line) > 2 else math.nan
    ordered = [f"{g[0]:.2f} at w = {e['name'].removeprefix('rrdb:')}" for e, g in zip(family, gains, strict=True)]
    return [
        Claim(
            "Along the family K̄ rises as √joint FD falls: Spearman's coefficient is below -0.5",
            along[0] < -0.5,
            f"{format_value(*along)}; {opposed[0]} of {opposed[1]} pairs are ordered so; K̄ {', '.join(ordered)}",
        ),
        Claim(
            "The robust member has a smaller K̄ than its twin, by two standard errors",
            calmer[0] > 2 * calmer[1],
            f"by {format_value(*calmer)}",
        ),
        Claim(
            "The robust member has a larger √joint FD than its twin, by two standard errors",
            farther[0] > 2 * farther[1],
            f"by {format_value(*farther)}",
        ),
        Claim(
            "The tradeoff along the family shows in joint KD, precision and recall as well (Appendix E.2)",
            all(rho[letters] < 0 for letters in ("KD", "P", "R")),
            ", ".join(f"{letters} {format_value(rho[letters])}" for letters in ("KD", "P", "R")),
        ),
        Claim(
            "Among all restorers most pairs are ordered so, too",
            every[0] > every[1] / 2,
            f"{every[0]} of {every[1]}; methods of other kinds may lie far from the tradeoff, as in Figure 9",
        ),
        Claim(
            "√(KD - joint KD) is a straight line of √KD: the joint kernel distance ignores consistency (E.3)",
            straight > 0.95,
            f"correlation {straight:.3f} over {len(line)} restorers",
        ),
        Claim("Along the family RMSE rises as √FD falls (E.4)", rmse < 0, format_value(rmse)),
    ]


def pictures(record: Mapping[str, Any], strip: Strip) -> dict[str, Picture]:
    """The tradeoff, real outputs along the family, robustness, consistency, and Appendix E."""
    found = {
        "tradeoff": Picture(figure_tradeoff(record), "Figure 3 with all restorers. Bars are standard errors."),
        "family": Picture(
            figure_strip(strip, [name for name in TRAINED if name in strip.outputs]),
            "Real outputs on the crop of most contrast among three, from the pixel loss alone to the strongest "
            "adversarial weight, and the robust twin; below, outputs for attacked inputs and what changed.",
        ),
        "robustness": Picture(figure_robustness(record), "PSNR between inputs and between outputs, under attack."),
        "consistency": Picture(figure_consistency(record), "How outputs explain their inputs; right, Figure 10."),
    }
    for index in ji.INDICES:
        caption = f"Figures {index.figures} of the paper, on these restorers; values without a real root are left out."
        found[f"index-{index.metric}"] = Picture(ji.draw_index(record, index), caption)
    return found


def run(scale: str, runs: Path | None = None, given: Sequence[str] = ()) -> Experiment:
    """Evaluate, compare, draw.

    Args:
        scale: smoke, small or paper.
        runs: folder of `jaxpr train photographs`; None for the restorers that come with jaxpr.
        given: further restorers, as `jaxpr evaluate --restorers` names them.
    """
    found = measure(scale, runs, given)
    protocol = found.record["protocol"]
    shown = ("crop", "patch_size", "patch_stride", "patches", "features", "alpha", "attack_steps", "examples")
    return Experiment(
        name="ohayon2024/superresolution",
        title="Robustness against joint perceptual quality of super-resolution",
        source="[ohayon2024], Section 4.2, Appendix E; Figures 3, 4 and 9 to 20",
        scale=scale,
        settings={"seed": SEED, **{name: protocol[name] for name in shown}},
        tables=tables(found),
        claims=claims(found),
        pictures=pictures(found.record, found.strip),
        remarks=[
            f"Features of {protocol['features']} on {protocol['patches']} patches of {protocol['images']} photographs: "
            "Fréchet distances of so few are biased upwards, alike for all. KD is the kernel distance that is called "
            "KID with Inception's features.",
            "The trained members are consistent with y by construction, so consistency hardly tells them apart: along "
            "the family the joint indices follow the marginal ones.",
        ],
    )


if __name__ == "__main__":
    main(run)
