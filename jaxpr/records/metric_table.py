"""Every metric of a record in one table: name, symbol, unit, direction, meaning, place, source.

Record, JSON, CSV, terminal, page and figures read it; all show metrics in its order. To add a metric, add a row here
and compute it where its source says (`evaluation/measure.py`, `probes.py`, `sets.py`, `planes.py`,
`decision_results.py`).

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024. [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [cohen2024up] Cohen, Kligvasser, Rivlin, Freedman, "Looks Too Good To Be True",
NeurIPS 2024. [cohen2024md] Cohen, Manor, Bahat, Michaeli, "From Posterior Sampling to Meaningful Diversity in Image
Restoration", ICLR 2024.
"""

from collections.abc import Iterable

from jaxpr.records.metric_info import ATTACK, BLOCKS, DECISIONS, EXAMPLES, GROUPS, PROBES, SETS, MetricInfo, Source

__all__ = ["METRICS", "features_label", "in_order", "metric_info", "of_source"]

_DISTORTION, _REALISM, _JOINT, _ROBUST, _UNCERTAIN, _ = GROUPS
HIGHER, LOWER, NEITHER = 1, -1, 0
# Unit, and how many times the recorded value is shown.
NUMBER, DECIBELS, NATS, PERCENT = ("", 1.0), ("dB", 1.0), ("nats", 1.0), ("%", 100.0)
GREY, GREY_SQUARED = ("grey levels", 255.0), ("grey levels²", 255.0**2)


def _row(
    key: str,
    label: str,
    unit: tuple[str, float],
    direction: int,
    group: str,
    source: Source,
    equation: str,
    explanation: str,
    *,
    question: str = "",
    column: bool = False,
) -> MetricInfo:
    name, scale = unit
    return MetricInfo(key, label, name, direction, scale, explanation, equation, group, source, column, question)


# fmt: off
METRICS = (
    _row(
        "rmse", "RMSE", GREY, LOWER, _DISTORTION, EXAMPLES, "[ohayon2024] Appendix E.4",
        "Root mean squared error between the restoration x̂ and the truth x, in grey levels of 255: how far the "
        "answer is from the original (distortion).",
    ),
    _row(
        "psnr", "PSNR", DECIBELS, HIGHER, _DISTORTION, EXAMPLES, "10 log₁₀(1 / MSE)",
        "Peak signal-to-noise ratio between x̂ and x: the squared error on a logarithmic scale; 6 dB more is "
        "half the error (distortion).", question="Closest to the truth", column=True,
    ),
    _row(
        "ssim", "SSIM", NUMBER, HIGHER, _DISTORTION, EXAMPLES, "Wang et al. 2004, eq. (13)",
        "Structural similarity of x̂ and x, at most 1: compares local brightness, contrast and structure "
        "(distortion).", column=True,
    ),
    _row(
        "lpips_", "LPIPS", NUMBER, LOWER, _DISTORTION, EXAMPLES, "Zhang et al. 2018, eq. (1)",
        "Distance between x̂ and x in the features of a trained network, closer to what people call similar "
        "than PSNR.", column=True,
    ),
    _row(
        "lr_psnr", "LR-PSNR", DECIBELS, HIGHER, _DISTORTION, EXAMPLES, "[ohayon2024] Section 3.3",
        "PSNR between the restoration degraded again, A x̂, and the given measurement y: does the answer "
        "explain the input (consistency)? Above 48 dB the two differ by less than one grey level; beyond the "
        "noise level of y more is not better.", question="Most consistent with the input", column=True,
    ),
    _row(
        "lr_psnr_pinv", "LR-PSNR of A†y", DECIBELS, HIGHER, _DISTORTION, EXAMPLES, "[cohen2024md] Table 1",
        "PSNR between A†A x̂ and A†y, both clipped to [0, 1], A† being the pseudo-inverse: consistency as the "
        "programs of [cohen2024md] compute it, in the image's own pixels.",
    ),
    _row(
        "measurement_rmse", "A x̂ − y", GREY, LOWER, _DISTORTION, EXAMPLES, "[ohayon2023] Section 2",
        "Root mean square of A x̂ − y, the difference between the restoration degraded again and the given "
        "measurement, in grey levels of 255: LR-PSNR on a linear scale.",
    ),
    _row(
        "residual_std_ratio", "residual / noise", NUMBER, NEITHER, _DISTORTION, EXAMPLES, "[ohayon2024] Appendix D.2.2",
        "Standard deviation of what a denoiser removed, y − x̂, over that of the noise that was added: 1 if "
        "exactly the noise was removed.",
    ),
    _row(
        "residual_whiteness", "residual whiteness", NUMBER, LOWER, _DISTORTION, EXAMPLES, "[ohayon2024] Appendix D.2.2",
        "Autocorrelation of what a denoiser removed, relative to what white noise of that size shows by chance: "
        "about 1 for white noise, more if structure of the image was removed as well.",
    ),
    _row(
        "residual_correlation", "residual correlation", NUMBER, NEITHER, _DISTORTION, EXAMPLES,
        "[ohayon2024] Appendix D.2.2",
        "Correlation between what a denoiser removed and what it kept: 0 for pure noise.",
    ),
    _row(
        "fd_", "FD", NUMBER, LOWER, _REALISM, SETS, "[ohayon2024] Section 4.2",
        "Fréchet distance between network features of patches of x̂ and of x: do the outputs, as a population, "
        "look like real images (perceptual quality)? 0 is perfect.", question="Most natural outputs", column=True,
    ),
    _row(
        "extrapolated_fd_", "FD∞", NUMBER, LOWER, _REALISM, SETS, "Chong and Forsyth 2020",
        "FD with its bias from the finite number of patches removed: the intercept of a straight line in 1/N "
        "through FDs of subsets.",
    ),
    _row(
        "inception_score", "inception score", NUMBER, HIGHER, _REALISM, SETS, "Salimans et al. 2016",
        "How certain Inception's classes of single patches are and how diverse together. It does not look at "
        "real images, whose own score is among the references of the record.",
    ),
    _row(
        "kid_", "KID", NUMBER, LOWER, _REALISM, SETS, "[ohayon2024] Appendix E.2",
        "Kernel distance between features of patches of x̂ and of x, an unbiased companion of FD that may dip "
        "below 0.",
    ),
    _row(
        "precision_", "precision", NUMBER, HIGHER, _REALISM, SETS, "[ohayon2024] Appendix E.2",
        "Share of restored patches that fall among the real ones: are the outputs believable?",
    ),
    _row(
        "recall_", "recall", NUMBER, HIGHER, _REALISM, SETS, "[ohayon2024] Appendix E.2",
        "Share of real patches that fall among the restored ones: is the variety of real images covered?",
    ),
    _row(
        "density_", "density", NUMBER, HIGHER, _REALISM, SETS, "Naeem et al. 2020",
        "How deep the restored patches lie among the real ones: the number of real neighbourhoods that contain "
        "a restored patch, over k; 1 on average for equal distributions.",
    ),
    _row(
        "coverage_", "coverage", NUMBER, HIGHER, _REALISM, SETS, "Naeem et al. 2020",
        "Share of real patches whose neighbourhood contains a restored one: recall that outliers among the "
        "outputs cannot inflate.",
    ),
    _row(
        "niqe", "NIQE", NUMBER, LOWER, _REALISM, EXAMPLES, "Mittal et al. 2013",
        "Distance of local brightness statistics from those of pristine photographs, without looking at the "
        "truth. The record names the photographs that the statistics were fitted on.",
    ),
    _row(
        "joint_fd_", "joint FD", NUMBER, LOWER, _JOINT, SETS, "[ohayon2024] eq. (6)",
        "Fréchet distance between pairs (x̂, y) and (x, y): do the outputs look real and belong to their inputs "
        "(joint perceptual quality)? 0 is perfect; theory says it is never below FD.",
        question="Most natural and consistent", column=True,
    ),
    _row(
        "consistency_fd_", "√(joint FD − FD)", NUMBER, LOWER, _JOINT, SETS, "[ohayon2024] Appendix E.3",
        "The part of the joint distance that the look of the outputs alone does not explain: outputs that are "
        "natural, but do not belong to their inputs.",
    ),
    _row(
        "conditional_fd_", "conditional FD", NUMBER, LOWER, _JOINT, SETS, "Soloveitchik et al. 2021",
        "Fréchet distance between x̂ given y and x given y, averaged over y, for jointly Gaussian features.",
    ),
    _row(
        "extrapolated_joint_fd_", "joint FD∞", NUMBER, LOWER, _JOINT, SETS, "Chong and Forsyth 2020",
        "Joint FD with its bias from the finite number of patches removed.",
    ),
    _row(
        "joint_kid_", "joint KID", NUMBER, LOWER, _JOINT, SETS, "[ohayon2024] eq. (111)",
        "Kernel distance between features of pairs (x̂, y) and (x, y).",
    ),
    _row(
        "joint_precision_", "joint precision", NUMBER, HIGHER, _JOINT, SETS, "[ohayon2024] eq. (111)",
        "Share of pairs (x̂, y) that fall among the real pairs (x, y).",
    ),
    _row(
        "joint_recall_", "joint recall", NUMBER, HIGHER, _JOINT, SETS, "[ohayon2024] eq. (111)",
        "Share of real pairs (x, y) that fall among the pairs (x̂, y).",
    ),
    _row(
        "joint_density_", "joint density", NUMBER, HIGHER, _JOINT, SETS, "[ohayon2024] eq. (111)",
        "Density of pairs (x̂, y) among the real pairs (x, y).",
    ),
    _row(
        "joint_coverage_", "joint coverage", NUMBER, HIGHER, _JOINT, SETS, "[ohayon2024] eq. (111)",
        "Share of real pairs (x, y) whose neighbourhood contains a pair (x̂, y).",
    ),
    _row(
        "lipschitz_mean", "K̄", NUMBER, LOWER, _ROBUST, ATTACK, "[ohayon2024] Section 4.2",
        "Mean over images of ‖f(y) − f(y_adv)‖ / ‖y − y_adv‖ for an attacked input y_adv: how many times a "
        "small change of the input is amplified (robustness). Norms run over all pixels, so merely repeating "
        "every pixel s times in both directions already gives K̄ = s.", question="Most robust", column=True,
    ),
    _row(
        "adversarial_output_psnr", "adversarial output PSNR", DECIBELS, HIGHER, _ROBUST, ATTACK,
        "[ohayon2024] Figure 4",
        "PSNR between the restoration and the restoration of the attacked input: low means that an invisible "
        "change of the input changed the output visibly.",
    ),
    _row(
        "adversarial_input_psnr", "adversarial input PSNR", DECIBELS, NEITHER, _ROBUST, ATTACK,
        "[ohayon2024] Section 4.2",
        "PSNR between the measurement and its attacked version: how small the change of the input was. One grey "
        "level on every pixel is 48.13 dB.",
    ),
    _row(
        "attack_growth", "K̄ grows by", PERCENT, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "How much larger the ratio behind K̄ gets with twice the steps from another start, on the probes: with more "
        "than two percent the attack has not converged, and K̄ is an underestimate.",
    ),
    _row(
        "attack_half_growth", "K̄ grew by", PERCENT, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "How much larger the ratio behind K̄ is than with half the steps from the same start, on the probes: what the "
        "second half of the attack's work has found.",
    ),
    _row(
        "attack_ratio", "K, attack", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The ratio behind K̄ on the probes alone, which the following are to be compared with.",
    ),
    _row(
        "random_ratio", "K, random directions", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The largest ratio in as many random directions as the attack has steps, on the probes. More than the "
        "attack's would mean that the gradient misleads it.",
    ),
    _row(
        "step_ratio", "K, one step", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The ratio after one step along the gradient at the attack's start, as large as the whole attack, on the "
        "probes. Clearly more than the attack's would mean that the gradient misleads it on its way.",
    ),
    _row(
        "transfer_ratio", "K, another's attack", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The ratio under the perturbation that attacks another restorer, the first network of the run that is not this "
        "one, on the probes. Clearly more than the attack's would mean that the gradient misleads it.",
    ),
    _row(
        "noise_ratio", "K, noise", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The mean ratio under Gaussian noise as large as the attack, on the probes: what happens by itself.",
    ),
    _row(
        "rounding_ratio", "K, rounding", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The ratio when y goes towards itself rounded to the 8 bits of video (black is 16, white 235), as far as the "
        "attack goes, on the probes. Equal values get equal errors; roundings that are independent are noise.",
    ),
    _row(
        "jpeg_ratio", "K, JPEG 95", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The ratio when y goes towards its JPEG of quality 95, as far as the attack goes, on the probes.",
    ),
    _row(
        "moved_ratio", "K, one pixel moved", NUMBER, NEITHER, _ROBUST, PROBES, "[ohayon2024] Section 4.2",
        "The mean ratio when y goes towards itself moved by one pixel, as far as the attack goes, on the probes.",
    ),
    _row(
        "local_lipschitz", "‖J‖", NUMBER, LOWER, _ROBUST, PROBES, "power iteration",
        "Largest singular value of the restorer's Jacobian at y, by power iteration, on the probes: the "
        "amplification of the worst infinitesimal change; the limit of what an attack of Euclidean size can "
        "find. It counts changes far below a grey level, which 8 bits cannot hold; see the next.",
    ),
    _row(
        "local_lipschitz_grey_level", "‖J‖, one grey level", NUMBER, LOWER, _ROBUST, PROBES, "power iteration",
        "The ratio when y moves along the direction that ‖J‖ belongs to until its largest entry has changed by one "
        "grey level of 255, the larger of the two sides, on the probes: what is left of ‖J‖ in changes that 8 bits "
        "can hold.",
    ),
    _row(
        "exploration_coverage", "exploration coverage", NUMBER, HIGHER, _ROBUST, PROBES, "[ohayon2024] Algorithm 1",
        "Share of the truth's values that lie between the smallest and largest output found by attacking the "
        "restorer towards ever different answers, on the probes.",
    ),
    _row(
        "exploration_range", "exploration range", GREY, NEITHER, _ROBUST, PROBES, "[ohayon2024] Algorithm 1",
        "Mean width of that range, in grey levels of 255.",
    ),
    _row(
        "exploration_input_psnr", "exploration input PSNR", DECIBELS, NEITHER, _ROBUST, PROBES,
        "[ohayon2024] Algorithm 1",
        "Smallest PSNR between y and the inputs that led to these outputs.",
    ),
    _row(
        "decisions_changed", "decisions changed", PERCENT, LOWER, _ROBUST, DECISIONS, "[ohayon2024] Section 4.3",
        "Share of examples in whose restoration a classifier, the judge, sees another class once the input was "
        "attacked through the restorer and a second classifier; the attack never saw the judge.",
    ),
    _row(
        "decisions_reached", "decisions reached", PERCENT, LOWER, _ROBUST, DECISIONS, "[ohayon2024] Section 4.3",
        "Of the examples in which the judge saw another class than the attack's target before, the share in which "
        "it sees the target afterwards.",
    ),
    _row(
        "decisions_right", "decisions right", PERCENT, HIGHER, _ROBUST, DECISIONS, "[ohayon2024] Section 4.3",
        "Share of restorations in which the judge sees the true class.",
    ),
    _row(
        "decisions_right_attacked", "decisions right, attacked", PERCENT, HIGHER, _ROBUST, DECISIONS,
        "[ohayon2024] Section 4.3",
        "The same for the restorations of the attacked inputs.",
    ),
    _row(
        "decisions_input_psnr", "decisions input PSNR", DECIBELS, NEITHER, _ROBUST, DECISIONS,
        "[ohayon2024] Section 4.3",
        "PSNR between the measurement and the one that was attacked for another decision.",
    ),
    _row(
        "per_pixel_std", "per-pixel spread", GREY, NEITHER, _UNCERTAIN, EXAMPLES, "[ohayon2023] Section 6.1.1",
        "Standard deviation of a pixel over several draws of a stochastic restorer for one input, in grey "
        "levels of 255, averaged over pixels.",
    ),
    _row(
        "pairwise_lpips_", "pairwise LPIPS", NUMBER, NEITHER, _UNCERTAIN, EXAMPLES, "[cohen2024md] Section 3",
        "Mean LPIPS between two draws of a stochastic restorer for one input.",
    ),
    _row(
        "pairwise_distance_", "pairwise distance", NUMBER, NEITHER, _UNCERTAIN, EXAMPLES, "[cohen2024md] Section 3",
        "Mean distance, in network features, between two draws of a stochastic restorer for one input.",
    ),
    _row(
        "component_kurtosis", "kurtosis of draws", NUMBER, NEITHER, _UNCERTAIN, EXAMPLES, "[cohen2024md] Section 3",
        "Kurtosis of several draws of a stochastic restorer for one input, along their first principal component: 3 "
        "for a Gaussian, more for heavy tails, in which rare answers hide. Of n draws it is at most about n − 2.",
    ),
    _row(
        "entropy_power", "uncertainty U", GREY_SQUARED, LOWER, _UNCERTAIN, BLOCKS, "[cohen2024up]",
        "Entropy power of the error x̂ − x given the surroundings in y, for Gaussian errors of small luma "
        "blocks: the variance of white noise that is as unpredictable.",
    ),
    _row(
        "entropy_power_knn", "U by k-NN", GREY_SQUARED, LOWER, _UNCERTAIN, BLOCKS, "[cohen2024up]",
        "The same without assuming Gaussian errors, by nearest neighbours.",
    ),
    _row(
        "renyi_divergence", "divergence P", NATS, LOWER, _UNCERTAIN, BLOCKS, "[cohen2024up]",
        "Rényi divergence of order 1/2 between x̂ and x given the surroundings in y, for Gaussian blocks: 0 if "
        "restored blocks vary as natural ones do.",
    ),
    _row(
        "block_mse", "block MSE", GREY_SQUARED, LOWER, _UNCERTAIN, BLOCKS, "[cohen2024up]",
        "Mean squared error of the same blocks; never below the uncertainty.",
    ),
)
# fmt: on
"""All known metrics, in the order in which they are shown."""

_OFFICIAL = {"fd": "FID", "extrapolated_fd": "FID∞", "joint_fd": "joint FID", "kid": "KID"}
"""Distances have these names only with Inception's features."""

_FEATURES = {"alexnet": "AlexNet", "vgg16": "VGG16", "pixels": "pixel", "inception": "Inception-V3"}


def features_label(features: str) -> str:
    """The written name of a feature suffix, for example `AlexNet` for `alexnet`; unknown ones stay as they are."""
    return _FEATURES.get(features, features)


def metric_info(name: str) -> MetricInfo:
    """The presentation of a recorded metric; unknown names get their own name as label and no direction.

    Args:
        name: as in the record, for example `joint_fd_alexnet`.

    Returns:
        The row of `METRICS`, with `key` replaced by `name` and the feature network added to the label.
    """
    for info in METRICS:
        if name == info.key:
            return info
        if info.covers(name):
            features, official = name.removeprefix(info.key), _OFFICIAL.get(info.key.removesuffix("_"))
            base = official if features == "inception" and official is not None else info.label
            return info._replace(key=name, label=f"{base} ({features_label(features)})")
    return MetricInfo(name, name, "", NEITHER, 1.0, "No description is stored for this metric.", "")


def in_order(names: Iterable[str]) -> list[str]:
    """Metrics in the order of the table, unknown ones at the end as they come; each once."""

    def rank(name: str) -> int:
        return next((place for place, info in enumerate(METRICS) if info.covers(name)), len(METRICS))

    return sorted(dict.fromkeys(names), key=rank)


def of_source(source: Source) -> tuple[str, ...]:
    """Keys of the metrics that are computed in this way."""
    return tuple(info.key for info in METRICS if info.source == source)
