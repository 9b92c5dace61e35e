"""The metrics of restorers as functions: robustness, diversity, uncertainty. See `entries_quality`.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024. [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [cohen2024up] Cohen, Kligvasser, Rivlin, Freedman, "Looks Too Good To Be True",
NeurIPS 2024.
"""

from jaxpr.records.metric_groups import GROUPS, MetricInfo

__all__ = ["BEHAVIOUR"]

_ROBUST, _UNCERTAIN = GROUPS[3:5]

BEHAVIOUR: tuple[MetricInfo, ...] = (
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
        _ROBUST,
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
        _ROBUST,
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
        _ROBUST,
    ),
    MetricInfo(
        "local_lipschitz",
        "‖J‖",
        "",
        -1,
        1.0,
        "Largest singular value of the restorer's Jacobian at y, by power iteration, on the probes: the "
        "amplification of the worst infinitesimal change; the limit of what an attack of Euclidean size can "
        "find.",
        "power iteration",
        _ROBUST,
    ),
    MetricInfo(
        "exploration_coverage",
        "exploration coverage",
        "",
        1,
        1.0,
        "Share of the truth's values that lie between the smallest and largest output found by attacking the "
        "restorer towards ever different answers, on the probes.",
        "[ohayon2024] Algorithm 1",
        _ROBUST,
    ),
    MetricInfo(
        "exploration_range",
        "exploration range",
        "grey levels",
        0,
        255.0,
        "Mean width of that range, in grey levels of 255.",
        "[ohayon2024] Algorithm 1",
        _ROBUST,
    ),
    MetricInfo(
        "exploration_input_psnr",
        "exploration input PSNR",
        "dB",
        0,
        1.0,
        "Smallest PSNR between y and the inputs that led to these outputs.",
        "[ohayon2024] Algorithm 1",
        _ROBUST,
    ),
    MetricInfo(
        "per_pixel_std",
        "per-pixel spread",
        "grey levels",
        0,
        255.0,
        "Standard deviation of a pixel over several draws of a stochastic restorer for one input, in grey "
        "levels of 255, averaged over pixels.",
        "[ohayon2023] Section 6.1.1",
        _UNCERTAIN,
    ),
    MetricInfo(
        "pairwise_lpips_",
        "pairwise LPIPS",
        "",
        0,
        1.0,
        "Mean LPIPS between two draws of a stochastic restorer for one input.",
        "[cohen2024md] Section 3",
        _UNCERTAIN,
    ),
    MetricInfo(
        "pairwise_distance_",
        "pairwise distance",
        "",
        0,
        1.0,
        "Mean distance, in network features, between two draws of a stochastic restorer for one input.",
        "[cohen2024md] Section 3",
        _UNCERTAIN,
    ),
    MetricInfo(
        "entropy_power",
        "uncertainty U",
        "grey levels²",
        -1,
        65025.0,
        "Entropy power of the error x̂ − x given the surroundings in y, for Gaussian errors of small luma "
        "blocks: the variance of white noise that is as unpredictable.",
        "[cohen2024up]",
        _UNCERTAIN,
    ),
    MetricInfo(
        "entropy_power_knn",
        "U by k-NN",
        "grey levels²",
        -1,
        65025.0,
        "The same without assuming Gaussian errors, by nearest neighbours.",
        "[cohen2024up]",
        _UNCERTAIN,
    ),
    MetricInfo(
        "renyi_divergence",
        "divergence P",
        "nats",
        -1,
        1.0,
        "Rényi divergence of order 1/2 between x̂ and x given the surroundings in y, for Gaussian blocks: 0 "
        "if restored blocks vary as natural ones do.",
        "[cohen2024up]",
        _UNCERTAIN,
    ),
    MetricInfo(
        "block_mse",
        "block MSE",
        "grey levels²",
        -1,
        65025.0,
        "Mean squared error of the same blocks; never below the uncertainty.",
        "[cohen2024up]",
        _UNCERTAIN,
    ),
)
