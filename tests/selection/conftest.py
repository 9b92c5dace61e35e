"""The authors' numbers for the selections."""

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "golden" / "selection_baselines"


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_trees() -> dict[str, str]:
    return json.loads((FOLDER / "values.json").read_text(encoding="utf-8"))["trees"]
