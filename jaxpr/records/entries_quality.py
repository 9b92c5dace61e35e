"""The metrics of outputs: distortion, consistency, realism. Names, units, directions, and a sentence for a newcomer.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024. [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [cohen2024up] Cohen, Kligvasser, Rivlin, Freedman, "Looks Too Good To Be True",
NeurIPS 2024.
"""

from jaxpr.records.metric_groups import GROUPS, MetricInfo

__all__ = ["QUALITY"]

_DISTORTION, _REALISM, _JOINT = GROUPS[:3]


def _joint(key: str, label: str, direction: int, explanation: str, equation: str) -> MetricInfo:
    return MetricInfo(f"joint_{key}", f"joint {label}", "", direction, 1.0, explanation, equation, _JOINT)


QUALITY: tuple[MetricInfo, ...] = (
    MetricInfo(
        "rmse",
        "RMSE",
        "grey levels",
        -1,
        255.0,
        "Root mean squared error between the restoration x̂ and the truth x, in grey levels of 255: how far the answer "
        "is from the original (distortion).",
        "[ohayon2024] Appendix E.4",
        _DISTORTION,
    ),
    MetricInfo(
        "psnr",
        "PSNR",
        "dB",
        1,
        1.0,
        "Peak signal-to-noise ratio between x̂ and x: the squared error on a logarithmic scale; 6 dB more is half the "
        "error (distortion).",
        "10 log₁₀(1 / MSE)",
        _DISTORTION,
    ),
    MetricInfo(
        "ssim",
        "SSIM",
        "",
        1,
        1.0,
        "Structural similarity of x̂ and x, at most 1: compares local brightness, contrast and structure (distortion).",
        "Wang et al. 2004, eq. (13)",
        _DISTORTION,
    ),
    MetricInfo(
        "lpips_",
        "LPIPS",
        "",
        -1,
        1.0,
        "Distance between x̂ and x in the features of a trained network, closer to what people call similar than PSNR.",
        "Zhang et al. 2018, eq. (1)",
        _DISTORTION,
    ),
    MetricInfo(
        "lr_psnr",
        "LR-PSNR",
        "dB",
        1,
        1.0,
        "PSNR between the restoration degraded again, A x̂, and the given measurement y: does the answer explain the "
        "input (consistency)? Above 48 dB the two differ by less than one grey level; beyond the noise level of y "
        "more is not better.",
        "[ohayon2024] Section 3.3",
        _DISTORTION,
    ),
    MetricInfo(
        "measurement_rmse",
        "A x̂ − y",
        "grey levels",
        -1,
        255.0,
        "Root mean square of A x̂ − y, the difference between the restoration degraded again and the given "
        "measurement, in grey levels of 255: LR-PSNR on a linear scale.",
        "[ohayon2023] Section 2",
        _DISTORTION,
    ),
    MetricInfo(
        "residual_std_ratio",
        "residual / noise",
        "",
        0,
        1.0,
        "Standard deviation of what a denoiser removed, y − x̂, over that of the noise that was added: 1 if "
        "exactly the noise was removed.",
        "[ohayon2024] Appendix D.2.2",
        _DISTORTION,
    ),
    MetricInfo(
        "residual_whiteness",
        "residual whiteness",
        "",
        -1,
        1.0,
        "Autocorrelation of what a denoiser removed, relative to what white noise of that size shows by "
        "chance: about 1 for white noise, more if structure of the image was removed as well.",
        "[ohayon2024] Appendix D.2.2",
        _DISTORTION,
    ),
    MetricInfo(
        "residual_correlation",
        "residual correlation",
        "",
        0,
        1.0,
        "Correlation between what a denoiser removed and what it kept: 0 for pure noise.",
        "[ohayon2024] Appendix D.2.2",
        _DISTORTION,
    ),
    MetricInfo(
        "fd_",
        "FD",
        "",
        -1,
        1.0,
        "Fréchet distance between network features of patches of x̂ and of x: do the outputs, as a population, look "
        "like real images (perceptual quality)? 0 is perfect.",
        "[ohayon2024] Section 4.2",
        _REALISM,
    ),
    MetricInfo(
        "extrapolated_fd_",
        "FD∞",
        "",
        -1,
        1.0,
        "FD with its bias from the finite number of patches removed: the intercept of a straight line in 1/N "
        "through FDs of subsets.",
        "Chong and Forsyth 2020",
        _REALISM,
    ),
    MetricInfo(
        "inception_score",
        "inception score",
        "",
        1,
        1.0,
        "How certain Inception's classes of single patches are and how diverse together. It does not look at real "
        "images, whose own score is among the references of the record.",
        "Salimans et al. 2016",
        _REALISM,
    ),
    MetricInfo(
        "kid_",
        "KID",
        "",
        -1,
        1.0,
        "Kernel distance between features of patches of x̂ and of x, an unbiased companion of FD that may dip below 0.",
        "[ohayon2024] Appendix E.2",
        _REALISM,
    ),
    MetricInfo(
        "precision_",
        "precision",
        "",
        1,
        1.0,
        "Share of restored patches that fall among the real ones: are the outputs believable?",
        "[ohayon2024] Appendix E.2",
        _REALISM,
    ),
    MetricInfo(
        "recall_",
        "recall",
        "",
        1,
        1.0,
        "Share of real patches that fall among the restored ones: is the variety of real images covered?",
        "[ohayon2024] Appendix E.2",
        _REALISM,
    ),
    MetricInfo(
        "density_",
        "density",
        "",
        1,
        1.0,
        "How deep the restored patches lie among the real ones: the number of real neighbourhoods that "
        "contain a restored patch, over k; 1 on average for equal distributions.",
        "Naeem et al. 2020",
        _REALISM,
    ),
    MetricInfo(
        "coverage_",
        "coverage",
        "",
        1,
        1.0,
        "Share of real patches whose neighbourhood contains a restored one: recall that outliers among the "
        "outputs cannot inflate.",
        "Naeem et al. 2020",
        _REALISM,
    ),
    MetricInfo(
        "niqe",
        "NIQE",
        "",
        -1,
        1.0,
        "Distance of local brightness statistics from those of pristine photographs, without looking at the "
        "truth. The record names the photographs that the statistics were fitted on.",
        "Mittal et al. 2013",
        _REALISM,
    ),
    MetricInfo(
        "joint_fd_",
        "joint FD",
        "",
        -1,
        1.0,
        "Fréchet distance between pairs (x̂, y) and (x, y): do the outputs look real and belong to their inputs (joint "
        "perceptual quality)? 0 is perfect; theory says it is never below FD.",
        "[ohayon2024] eq. (6)",
        _JOINT,
    ),
    MetricInfo(
        "consistency_fd_",
        "√(joint FD − FD)",
        "",
        -1,
        1.0,
        "The part of the joint distance that the look of the outputs alone does not explain: outputs that are"
        " natural, but do not belong to their inputs.",
        "[ohayon2024] Appendix E.3",
        _JOINT,
    ),
    MetricInfo(
        "conditional_fd_",
        "conditional FD",
        "",
        -1,
        1.0,
        "Fréchet distance between x̂ given y and x given y, averaged over y, for jointly Gaussian features.",
        "Soloveitchik et al. 2021",
        _JOINT,
    ),
    MetricInfo(
        "extrapolated_joint_fd_",
        "joint FD∞",
        "",
        -1,
        1.0,
        "Joint FD with its bias from the finite number of patches removed.",
        "Chong and Forsyth 2020",
        _JOINT,
    ),
    MetricInfo(
        "joint_kid_",
        "joint KID",
        "",
        -1,
        1.0,
        "Kernel distance between features of pairs (x̂, y) and (x, y).",
        "[ohayon2024] eq. (111)",
        _JOINT,
    ),
    MetricInfo(
        "joint_precision_",
        "joint precision",
        "",
        1,
        1.0,
        "Share of pairs (x̂, y) that fall among the real pairs (x, y).",
        "[ohayon2024] eq. (111)",
        _JOINT,
    ),
    MetricInfo(
        "joint_recall_",
        "joint recall",
        "",
        1,
        1.0,
        "Share of real pairs (x, y) that fall among the pairs (x̂, y).",
        "[ohayon2024] eq. (111)",
        _JOINT,
    ),
    _joint(
        "density_",
        "density",
        1,
        "Density of pairs (x̂, y) among the real pairs (x, y).",
        "[ohayon2024] eq. (111)",
    ),
    _joint(
        "coverage_",
        "coverage",
        1,
        "Share of real pairs (x, y) whose neighbourhood contains a pair (x̂, y).",
        "[ohayon2024] eq. (111)",
    ),
)
