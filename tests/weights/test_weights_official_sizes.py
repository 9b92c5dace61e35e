"""Sizes of the published restorers, against the configurations in their authors' programs."""

import pytest
from golden_networks import manifest

from jaxpr.weights.official import OFFICIAL_FILES
from jaxpr.weights.official_sizes import OFFICIAL_SIZES

FOLDERS = ("swinir", "swin2sr", "restormer", "gfpgan_clean", "rrdbnet_realesrgan", "rrdbnet_esrgan", "srvggnet")


def authors() -> dict[str, dict]:
    """Configurations by the names of files; some entries speak of several."""
    found = {}
    for folder in FOLDERS:
        for entry in manifest(folder)["checkpoints"]:
            for file in entry["file"].split(" / "):
                found[file.split(" (")[0]] = entry["config"]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_sizes_are_those_of_the_authors(folder):
    files = {official.file: name for name, official in OFFICIAL_FILES.items() if name in OFFICIAL_SIZES}
    compared = 0
    for file, theirs in authors().items():
        if file not in files or type(OFFICIAL_SIZES[files[file]]).__name__[:4].lower() != folder[:4]:
            continue
        ours = OFFICIAL_SIZES[files[file]]
        for field, value in theirs.items():
            if hasattr(ours, field):
                assert getattr(ours, field) == (tuple(value) if isinstance(value, list) else value), (file, field)
        compared += 1
    assert compared >= 2


def test_every_name_has_sizes_that_go_with_it():
    for name, config in OFFICIAL_SIZES.items():
        assert name in OFFICIAL_FILES
        enlarges = name.rpartition("-x")[2]
        assert config.scale == (int(enlarges) if enlarges.isdigit() else 1)
