"""What latent transport depends on: the ablations of Section 5.3 and Appendix B.7 of [adrai2023], in small.

    python experiments/adrai2023/transport_ablations.py [--scale smoke|small|paper] [--out FOLDER]

Photographs reduced by bicubic ×4, restored by the pixel loss (photos-l1) and by a GAN, and moved by maps that are
fitted with patches of other sizes, on fewer photographs or patches, on pairs or not, twice, and on y enlarged; with
encoders that have them, latents that are drawn. Differences are from the map that all else uses: 3 × 3, all training
crops, restored and natural ones the same.

Small, two CPU cores, 1 min 55 s; ± standard errors over five
photographs, paired, differences of PSNR (dB) and FD from the standard map, of photos-l1 and of the GAN:

                                       photos-l1                      GAN
    1 × 1                     0.4 ± 0.3, 12 ± 4      0.54 ± 0.17, 4 ± 4
    7 × 7                    -0.6 ± 0.2, -3 ± 4     -0.08 ± 0.06, 0.3 ± 0.7
    15 × 15                  -0.9 ± 0.3, -5 ± 6     -0.06 ± 0.10, 0.2 ± 0.8
    3 of 6 photographs   -0.21 ± 0.07, -0.2 ± 0.9   -0.16 ± 0.04, -0.1 ± 1.0
    other half, unpaired       -8 ± 2, 17 ± 6        -6.5 ± 1.6, 19 ± 7
    twice, fitted again      -0.7 ± 0.2, -3 ± 4     -0.23 ± 0.06, -0.5 ± 1.4

What the paper says of sizes holds for photos-l1; the GAN's outputs hardly depend on them. Halves of the photographs
nearly do as well as all, single ones do not. Unpaired crops are worse in both numbers, not better in FD: pixels carry
colour and brightness, which differ between crops, where the paper has latents and everyday photographs. Applied twice
nothing is won. Enlarged y gets better, FD by 31 ± 10, not worse: bicubic interpolation is blur without artefacts.

paper: images of 512 × 512 in data/imagenet512/train and val, up to 100 and 200 of them, Stable Diffusion's
autoencoder and ESRGAN, of each what `jaxpr weights fetch` has stored.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxpr.degradations import parse_degradation
from jaxpr.evaluation.measure import degrader
from jaxpr.numerics.statistics import jackknife_error
from jaxpr.records.results import Metric
from jaxpr.report.experiments import Cell
from jaxpr.report.style import COLOURS, INK, MUTED, new_figure, styled
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main
from jaxpr.reproduce.moved_sets import CropSet, Meter, Problem, change_from, moved_images
from jaxpr.reproduce.statistics import signed
from jaxpr.reproduce.transported import Held, available, both_sides, held, readable_encoders
from jaxpr.restorers import (
    LatentEncoder,
    LatentTransport,
    PatchStatistics,
    Training,
    build_restorers,
    patch_statistics,
)

SEED, PATCH, DEGRADATION = 0, 3, "bicubic-x4"
FEW = (3, 7)  # sides of patches of which there are few
ENCODERS, PAPER_ENCODERS = ("pixels",), ("sd-vae-ft-mse", "pixels")
MAIN, GAN, ENLARGED = "photos-l1", "photos-gan-0.03", "bicubic"
STANDARD, STAR, DRAWN = "standard", "x*", "latents drawn"
HALF, OTHER_HALF = "half of the crops, paired", "other half, unpaired"
OTHERS = "other photographs, unpaired"
MOST_LOST, MOST_FD = 0.1, 0.1  # dB, and share of what transport wins of FD: "no change" is our bound


class Sizes(NamedTuple):
    """What a scale means.

    Attributes:
        crop: side of the crops.
        each: crops of every test photograph.
        train: crops of every training photograph.
        patches: sides of transported patches.
        few: numbers of photographs.
        choices: of so many photographs, spread over them.
        sides: of the middles of crops, for few patches.
        restorers: of `MAIN` and `GAN`, so many.
        batch: crops computed together.
        seen: side of the patches that the distances see.
    """

    crop: int
    each: int
    train: int
    patches: tuple[int, ...] = (1, 3, 5, 7, 11, 15)
    few: tuple[int, ...] = (1, 2, 3)
    choices: int = 3
    sides: tuple[int, ...] = (8, 16, 32, 128)
    restorers: int = 2
    batch: int = 10
    seen: int = 64


SIZES = {
    "smoke": Sizes(64, 1, 1, (1, 3), (2,), 2, (16,), 1, 5),
    "small": Sizes(128, 4, 6),
    "paper": Sizes(512, 1, 1, few=(1, 10), choices=3, batch=4, seen=512),
}

Values = dict[str, Metric]


class Studied(NamedTuple):
    """One restorer with one encoder.

    Attributes:
        restorer: its name.
        encoder: its name.
        values: metrics by variant, `STAR` and `STANDARD` among them.
    """

    restorer: str
    encoder: str
    values: dict[str, Values]

    def change(self, name: str, metric: str, base: str = STANDARD) -> tuple[float, float, float, float]:
        """Difference from another variant: value, standard error, and the ends of its 95 % interval."""
        apart = change_from(self.values[name], self.values[base], metric)
        return apart.value, apart.stderr, apart.low, apart.high


def averaged(several: Sequence[Values]) -> Values:
    """Metrics over choices of images, of equal test crops: means, also of those without a photograph each."""
    found = {}
    for name in several[0]:
        left_out = np.mean([values[name].left_out for values in several], axis=0)
        value = float(np.mean([values[name].value for values in several]))
        found[name] = Metric(value, jackknife_error(left_out), left_out=tuple(left_out.tolist()))
    return found


def cyclic(count: int, size: int, choices: int) -> list[np.ndarray]:
    """So many choices of `size` of `count`, neighbours on a circle."""
    starts = np.linspace(0, count, min(choices, count), endpoint=False).astype(int)
    return [(start + np.arange(size)) % count for start in starts]


def studied(name: str, on: Held, encoder: LatentEncoder, train: CropSet, sizes: Sizes) -> Studied:
    """Fit, move and measure all variants of one restorer."""
    values = {STAR: on.metrics(on.star)}
    restored, natural, photo = on.restored_train, on.train, train.groups
    everywhere, count = np.ones(len(photo), bool), len(set(photo))
    statistics = [[patch_statistics(i[None], encoder=encoder, patch=PATCH) for i in s] for s in (restored, natural)]

    def fit(some: np.ndarray, others: np.ndarray) -> LatentTransport:
        """Of chosen crops, restored and natural ones."""
        chosen = (
            [s for s, used in zip(*pair, strict=True) if used] for pair in zip(statistics, (some, others), strict=True)
        )
        source, target = (functools.reduce(PatchStatistics.merge, each) for each in chosen)
        return on.fitted(PATCH, encoder=encoder, restored=source, natural=target)

    def several(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Values:
        return averaged([on.metrics(on.moved(fit(*pair))) for pair in pairs])

    standard = fit(everywhere, everywhere)
    first = on.moved(standard)
    values[STANDARD] = on.metrics(first)
    for patch in sizes.patches:
        if patch != PATCH and patch <= sizes.crop // encoder.multiple // 2:
            values[f"{patch} × {patch}"] = on.metrics(on.moved(on.fitted(patch, encoder=encoder)))
    for size in sizes.few:
        choices = cyclic(count, size, sizes.choices)
        chosen, others = ([np.isin(photo, (c + shift) % count) for c in choices] for shift in (0, size))
        values[f"{size} of {count} photographs"] = several(zip(chosen, chosen, strict=True))
        if size == sizes.few[-1]:
            values[OTHERS] = several(zip(chosen, others, strict=True))
    if len(photo) > count:  # several crops of each
        even = np.arange(len(photo)) % 2 == 0
        values[HALF] = several([(even, even), (~even, ~even)])
        values[OTHER_HALF] = several([(even, ~even), (~even, even)])
    single = np.unique(photo, return_index=True)[1]  # one crop of each photograph
    for patch, side in itertools.product(FEW, sizes.sides if encoder.multiple == 1 else ()):
        cut = slice((sizes.crop - side) // 2, (sizes.crop + side) // 2)
        number = count * (side - patch + 1) ** 2
        if number > 3 * patch**2:
            few = [images[single][:, cut, cut] for images in (restored, natural)]
            fitted = on.fitted(patch, encoder=encoder, restored=few[0], natural=few[1])
            values[f"{number} patches of {patch} × {patch}"] = on.metrics(on.moved(fitted))
    again = np.clip(moved_images(on.problem.key, standard, restored), -0.5, 1.5)  # what statistics take
    values["twice, fitted again"] = on.metrics(
        on.moved(on.fitted(PATCH, encoder=encoder, restored=again), images=first)
    )
    values["twice, the same map"] = on.metrics(on.moved(standard, images=first))
    if encoder.multiple > 1:
        drawn = on.fitted(PATCH, encoder=encoder, sample_key=jax.random.key(SEED + 4))
        values[DRAWN] = on.metrics(on.moved(drawn, encode="sample"))
    return Studied(name, encoder.name, values)


def measure(sizes: Sizes, *, large: bool) -> tuple[list[Studied], Studied, int, list[str]]:
    """All restorers and encoders, y enlarged, how many crops, and what is not here."""
    train, test, images = both_sides(
        crop=sizes.crop, train=sizes.train, each=sizes.each, large=large, photographs=(100, 200)
    )
    degradation = parse_degradation(DEGRADATION)
    degrade = degrader(degradation, bits=8, compiled=jax.jit)
    problem = Problem(degradation, degrade, jax.random.key(SEED))
    training = Training(lambda: images, degrade, degradation, 3, 512, problem.key, 64 if large else None)
    names = [w for w in ("esrgan-x4",) if available(w)] if large else []
    restorers = build_restorers((*(names or (MAIN, GAN)[: sizes.restorers]), ENLARGED), training)
    encoders, missing = readable_encoders(PAPER_ENCODERS if large else ENCODERS)
    meter = Meter("alexnet", patch=sizes.seen, stride=max(1, sizes.seen // 2))
    crops = train.arrays()
    on = held(problem, restorers.pop(ENLARGED), crops, test, meter, batch=sizes.batch)
    moved = on.moved(on.fitted(PATCH, encoder=encoders[0]))
    enlarged = Studied(ENLARGED, encoders[0].name, {STAR: on.metrics(on.star), STANDARD: on.metrics(moved)})
    found = []
    for name, restorer in restorers.items():
        on = held(problem, restorer, crops, test, meter, batch=sizes.batch)
        found += [studied(name, on, encoder, train, sizes) for encoder in encoders]
    return found, enlarged, len(test), missing


def table(one: Studied, photographs: int) -> Table:
    """All variants of one restorer."""
    rows: list[list[Cell]] = []
    for name, values in one.values.items():
        cells: list[Cell] = [name]
        for metric in ("psnr", "lpips", "fd"):
            cells.append((values[metric].value, values[metric].stderr))
            cells.append(None if name in (STAR, STANDARD) else one.change(name, metric)[:2])
        rows.append([*cells, (values["lr_psnr"].value, values["lr_psnr"].stderr)])
    title = f"{one.restorer}, {one.encoder}; ± standard errors over {photographs} photographs"
    columns = ["", "PSNR dB", "Δ", "LPIPS", "Δ", "FD", "Δ", "LR-PSNR dB"]
    return Table(f"{title}, Δ paired difference from the {STANDARD} map", columns, rows)


def claims(found: Sequence[Studied], enlarged: Studied) -> list[Claim]:
    """What the paper says of its ablations."""
    return [claim for one in found for claim in own_claims(one)] + [
        Claim(
            "Transporting y itself, enlarged, is not enough: PSNR and FD get worse (B.7)",
            enlarged.change(STANDARD, "psnr", STAR)[3] < 0 and enlarged.change(STANDARD, "fd", STAR)[2] > 0,
            f"PSNR {told(enlarged, STANDARD, 'psnr', STAR)} dB, FD {told(enlarged, STANDARD, 'fd', STAR)}",
        )
    ]


def told(one: Studied, name: str, metric: str, base: str = STANDARD) -> str:
    """A difference with its error and sign."""
    return signed(*one.change(name, metric, base)[:2])


def own_claims(one: Studied) -> list[Claim]:
    """Of one restorer and encoder; a difference counts where its interval excludes zero."""
    names, words, found = list(one.values), f"{one.restorer}, {one.encoder}: ", list[Claim]()
    sides = {int(n.split(" × ")[0]): n for n in names if n.split(" × ")[0].isdigit()}
    win = abs(one.change(STANDARD, "fd", STAR)[0])

    def add(text: str, some: Sequence[str], holds: Callable[[str], bool], base: str = STANDARD) -> None:
        if some:
            parts = (f"{n}: PSNR {told(one, n, 'psnr', base)} dB, FD {told(one, n, 'fd', base)}" for n in some)
            found.append(Claim(words + text, all(map(holds, some)), "; ".join(parts)))

    def unchanged(name: str, base: str = STANDARD) -> bool:
        psnr, fd = one.change(name, "psnr", base)[0], one.change(name, "fd", base)[0]
        return abs(psnr) < MOST_LOST and abs(fd) < MOST_FD * win

    add("single pixels have a worse FD", [sides[p] for p in sides if p == 1], lambda n: one.change(n, "fd")[2] > 0)
    add("patches from 7 × 7 on lose PSNR", [sides[p] for p in sides if p >= 7], lambda n: one.change(n, "psnr")[3] < 0)
    few = [n for n in names if n.endswith("photographs")]
    add(f"few photographs do as well as all, to {MOST_LOST:g} dB and {MOST_FD:.0%} of FD won", few, unchanged)
    for side in FEW:
        *less, most = [n for n in names if n.endswith(f" patches of {side} × {side}")] or [""]
        add(
            f"few patches of {side} × {side} do as well as all of the same crops",
            less,
            functools.partial(unchanged, base=most),
            most,
        )
    for unpaired, paired in ((OTHER_HALF, HALF), (OTHERS, few[-1])):
        text = f"{unpaired} instead of pairs: PSNR is worse, FD better"
        some = [n for n in names if n == unpaired]
        worse = {n: one.change(n, "psnr", paired)[3] < 0 and one.change(n, "fd", paired)[3] < 0 for n in some}
        add(text, some, worse.__getitem__, paired)
    add(
        "applied twice, FD gets no better",
        [n for n in names if n[:5] == "twice"],
        lambda n: one.change(n, "fd")[3] >= 0,
    )
    drawn = [n for n in names if n == DRAWN]
    add("drawn latents change neither", drawn, unchanged)
    return found


@styled()
def draw_changes(found: Sequence[Studied]) -> Picture:
    """What each variant changes of PSNR and FD, with errors; without unpaired ones, which are far off."""
    left_out = (STAR, STANDARD, OTHERS, OTHER_HALF)
    names = [n for n in dict.fromkeys(n for one in found for n in one.values) if n not in left_out]
    figure = new_figure(11.0, 0.27 * len(names) + 1.2)
    axes = figure.subplots(1, 2, sharey=True)
    height = 0.27 * len(names) + 1.2
    figure.subplots_adjust(left=0.2, right=0.985, top=1 - 0.35 / height, bottom=0.55 / height, wspace=0.06)
    labels = {"psnr": "PSNR, change in dB  (better →)", "fd": "FD, change  (← more natural)"}
    for ax, (metric, label) in zip(axes, labels.items(), strict=True):
        for number, one in enumerate(found):
            own = [n for n in names if n in one.values]
            changes = np.array([one.change(n, metric)[:2] for n in own])
            places = [names.index(n) + 0.22 * (number - (len(found) - 1) / 2) for n in own]
            look = {"color": COLOURS[number % len(COLOURS)], "ms": 4.5, "elinewidth": 0.9}
            label_of = f"{one.restorer}, {one.encoder}"
            ax.errorbar(changes[:, 0], places, xerr=changes[:, 1], fmt="o", label=label_of, **look)
        ax.axvline(0, color=MUTED, lw=0.8, zorder=1)
        ax.set(xlabel=label, yticks=range(len(names)))
        ax.set_yticklabels(names, color=INK)
    axes[0].invert_yaxis()
    axes[0].legend(frameon=False, fontsize=8, ncols=len(found), loc="lower left", bbox_to_anchor=(0, 1))
    return Picture(figure, f"Paired differences from the {STANDARD} map, with standard errors. Unpaired fits: tables.")


def run(scale: str) -> Experiment:
    """Fit many maps, move, measure, draw."""
    sizes, large = SIZES[scale], scale == "paper"
    found, enlarged, test, missing = measure(sizes, large=large)
    photographs = len(found[0].values[STAR]["psnr"].left_out)
    return Experiment(
        name="adrai2023/transport_ablations",
        title="What latent transport depends on",
        source="[adrai2023], Section 5.3, Appendix B.7",
        scale=scale,
        settings={"seed": SEED, "patch": PATCH, "degradation": DEGRADATION, **sizes._asdict()},
        tables=[table(one, photographs) for one in (*found, enlarged)],
        claims=claims(found, enlarged),
        pictures={"changes": draw_changes(found)},
        remarks=[
            f"x̂₀ of {test} crops; errors are over photographs, with Student's intervals. Rows of several choices of "
            "photographs, or of halves, are means over the choices.",
            "The paper fits on 10 to 100,000 images of ImageNet; here there are six photographs, two of one scene, "
            "others of a telescope and of microscopes. What a few photographs do here, ten everyday ones need not do.",
            "Patches of pixels are not the paper's patches of latents, of which one sees 8 × 8 pixels and more: 3 × 3 "
            "latents correspond to 24 × 24 pixels, beyond the largest patch here.",
            "Few patches: the middles of one crop of each photograph. The map is ill-conditioned where patches are "
            "smooth, as those of restorations are; where it needs noise it has it.",
            *missing,
        ],
    )


if __name__ == "__main__":
    main(run)
