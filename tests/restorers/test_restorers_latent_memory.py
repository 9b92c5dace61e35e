"""Moments of a million patches need the memory of those of a few."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURED = """
import sys
import numpy as np
from jaxpr.restorers import patch_statistics, pixel_encoder
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
def images(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.random((128, 128, 3), np.float32)
def patches(count):
    return patch_statistics(images(count), encoder=pixel_encoder(), patch=3).moments.count
few = patches(2)
before = peak()
print(few, patches(64), before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")
def test_moments_of_a_million_patches_take_the_memory_of_a_few():
    run = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    few, many, before, after = map(float, run.stdout.split())
    assert (few, many) == (2 * 126**2, 64 * 126**2)
    assert many > 1e6
    # All patches in single precision would be 110 MB, all images 13.
    assert after - before < 8
