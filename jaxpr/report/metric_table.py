"""What each metric of a record is called, measured in and good for: the one table that figures, page and text share.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

from typing import NamedTuple

__all__ = ["METRICS", "MetricInfo", "features_label", "metric_info"]


class MetricInfo(NamedTuple):
    """How one metric is presented.

    Attributes:
        key: the metric's name in the record, or its beginning (ending in `_`) where the name of a feature network or
            a distance follows.
        label: short name for headers and axes.
        unit: unit of the shown value, "" for a pure number.
        direction: +1 if higher is better, -1 if lower is better, 0 if neither.
        scale: the shown value is `scale` times the recorded one.
        explanation: one sentence for a newcomer.
        equation: where it is defined.
    """

    key: str
    label: str
    unit: str
    direction: int
    scale: float
    explanation: str
    equation: str

    @property
    def arrow(self) -> str:
        """`↑` if higher is better, `↓` if lower is better, else nothing."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]

    @property
    def heading(self) -> tuple[str, str]:
        """A column's header in two lines: name with arrow, and feature network or unit."""
        name, _, features = self.label.partition(" (")
        return f"{name}\N{NO-BREAK SPACE}{self.arrow}".rstrip(), features.removesuffix(")") or self.unit


METRICS: tuple[MetricInfo, ...] = (
    MetricInfo(
        "rmse",
        "RMSE",
        "grey levels",
        -1,
        255.0,
        "Root mean squared error between the restoration x̂ and the truth x, in grey levels of 255: how far the answer "
        "is from the original (distortion).",
        "[ohayon2024] Appendix E.4",
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
    ),
    MetricInfo(
        "ssim",
        "SSIM",
        "",
        1,
        1.0,
        "Structural similarity of x̂ and x, at most 1: compares local brightness, contrast and structure (distortion).",
        "Wang et al. 2004, eq. (13)",
    ),
    MetricInfo(
        "lpips_",
        "LPIPS",
        "",
        -1,
        1.0,
        "Distance between x̂ and x in the features of a trained network, closer to what people call similar than PSNR.",
        "Zhang et al. 2018, eq. (1)",
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
    ),
    MetricInfo(
        "kid_",
        "KID",
        "",
        -1,
        1.0,
        "Kernel distance between features of patches of x̂ and of x, an unbiased companion of FD that may dip below 0.",
        "[ohayon2024] Appendix E.2",
    ),
    MetricInfo(
        "joint_kid_",
        "joint KID",
        "",
        -1,
        1.0,
        "Kernel distance between features of pairs (x̂, y) and (x, y).",
        "[ohayon2024] eq. (111)",
    ),
    MetricInfo(
        "precision_",
        "precision",
        "",
        1,
        1.0,
        "Share of restored patches that fall among the real ones: are the outputs believable?",
        "[ohayon2024] Appendix E.2",
    ),
    MetricInfo(
        "joint_precision_",
        "joint precision",
        "",
        1,
        1.0,
        "Share of pairs (x̂, y) that fall among the real pairs (x, y).",
        "[ohayon2024] eq. (111)",
    ),
    MetricInfo(
        "recall_",
        "recall",
        "",
        1,
        1.0,
        "Share of real patches that fall among the restored ones: is the variety of real images covered?",
        "[ohayon2024] Appendix E.2",
    ),
    MetricInfo(
        "joint_recall_",
        "joint recall",
        "",
        1,
        1.0,
        "Share of real pairs (x, y) that fall among the pairs (x̂, y).",
        "[ohayon2024] eq. (111)",
    ),
    MetricInfo(
        "lipschitz_mean",
        "K̄",
        "",
        -1,
        1.0,
        "Mean over images of ‖f(y) − f(y_adv)‖ / ‖y − y_adv‖ for an attacked input y_adv: how many times a small "
        "change of the input is amplified (robustness). Norms run over all pixels, so merely repeating every "
        "pixel s times in both directions already gives K̄ = s.",
        "[ohayon2024] Section 4.2",
    ),
    MetricInfo(
        "adversarial_output_psnr",
        "adversarial output PSNR",
        "dB",
        1,
        1.0,
        "PSNR between the restoration and the restoration of the attacked input: low means that an invisible change of "
        "the input changed the output visibly.",
        "[ohayon2024] Figure 4",
    ),
    MetricInfo(
        "adversarial_input_psnr",
        "adversarial input PSNR",
        "dB",
        0,
        1.0,
        "PSNR between the measurement and its attacked version: how small the change of the input was. One grey level "
        "on every pixel is 48.13 dB.",
        "[ohayon2024] Section 4.2",
    ),
)

FEATURES = {"alexnet": "AlexNet", "vgg16": "VGG16", "pixels": "pixel", "inception": "Inception-V3"}


def features_label(features: str) -> str:
    """The written name of a feature suffix, for example `AlexNet` for `alexnet`; unknown ones stay as they are."""
    return FEATURES.get(features, features)


def metric_info(name: str) -> MetricInfo:
    """The presentation of a recorded metric; unknown names get their own name as label and no direction.

    Args:
        name: as in the record, for example `joint_fd_alexnet`.

    Returns:
        The entry of `METRICS`, with `key` replaced by `name` and the feature network added to the label.
    """
    for info in METRICS:
        if name == info.key:
            return info
        if info.key.endswith("_") and name.startswith(info.key) and len(name) > len(info.key):
            label = f"{info.label} ({features_label(name.removeprefix(info.key))})"
            return info._replace(key=name, label=label)
    return MetricInfo(name, name, "", 0, 1.0, "No description is stored for this metric.", "")
