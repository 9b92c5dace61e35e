"""What each metric of a record is called, measured in and good for: the one table that figures, page and text share."""

from jaxpr.records.entries_behaviour import BEHAVIOUR
from jaxpr.records.entries_quality import QUALITY
from jaxpr.records.metric_groups import GROUPS, MetricInfo

__all__ = ["GROUPS", "METRICS", "MetricInfo", "features_label", "metric_info"]

METRICS = (*QUALITY, *BEHAVIOUR)
"""All known metrics, group by group."""

_OFFICIAL = {"fd": "FID", "extrapolated_fd": "FID∞", "joint_fd": "joint FID", "kid": "KID"}
"""Distances have these names only with Inception's features."""

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
            features, official = name.removeprefix(info.key), _OFFICIAL.get(info.key.removesuffix("_"))
            base = official if features == "inception" and official is not None else info.label
            label = f"{base} ({features_label(features)})"
            return info._replace(key=name, label=label)
    return MetricInfo(name, name, "", 0, 1.0, "No description is stored for this metric.", "")
