"""What the benchmarks share: every contender runs in a process of its own, so that none pays for another's memory.

A script names its contenders and calls `compare`, once for each problem size::

    def ours():
        features = ...            # not timed: imports, data, closures
        return lambda: metric(features)   # timed: called once to warm up, then --repeats times

    if __name__ == "__main__":
        options = parse(__doc__)
        compare(options, "10k", {"jaxpr": ours, "peer": peer}, baseline="peer")

The script starts itself again with `--only "10k/jaxpr"` for each contender, one after the other. Printed are the median
and the range of the repeats, how often faster than the baseline that is, the peak memory of the whole process (with
libraries and data), how much of it the run itself added, and the value, so that a fast wrong answer is seen.
`--write` keeps all that, with the time of the first call, device and versions, in `results/SCRIPT.json`, of which
`python -m benchmarks.table` makes the table of the README.
"""

import argparse
import contextlib
import datetime
import functools
import importlib
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["RESULTS", "Contender", "compare", "compare_sizes", "declare_torchvision_operators", "parse"]

Contender = Callable[[], Callable[[], Any]]
"""Prepares (imports, data), and returns the function that is timed; that one returns a number or an array."""

RESULTS = Path(__file__).parent / "results"
GIBI = 2**20  # kilobytes, the unit of ru_maxrss on Linux
_KEPT: list[object] = []
PACKAGES = ("jax", "numpy", "scipy", "torch", "torch-fidelity", "torchmetrics", "prdc", "piq", "POT", "ott-jax")


def parse(description: str | None) -> argparse.Namespace:
    """The command line that all benchmarks understand; prints the machine unless this is a contender's process."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("smoke", "small", "paper"), default="small", help="problem sizes")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls in each process, after one to warm up")
    parser.add_argument("--only", metavar="SIZE/NAME", help="run this contender, in this process, and print JSON")
    parser.add_argument("--write", action="store_true", help=f"keep what was found in {RESULTS.name}/")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a contender is given up")
    options = parser.parse_args()
    if options.only is None:
        print(
            f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {_listed(_versions())}"
        )
    return options


def compare(
    options: argparse.Namespace, size: str, contenders: Mapping[str, Contender], *, baseline: str
) -> dict[str, dict[str, Any]]:
    """Run all contenders at one problem size and print the table.

    Args:
        options: from `parse`.
        size: a name for the problem size, unique in the script.
        contenders: by name; unavailable ones (ImportError) are listed as such.
        baseline: the contender whose time is divided by the others'.

    Returns:
        For each contender that ran: `seconds` (list), `first_seconds` (with compilation), `peak_gib`, `added_gib`,
        `device_gib` (peak of an accelerator; None on a CPU), `device`, `value`. Empty in a child process of another
        size.
    """
    if options.only is not None:
        wanted, _, name = options.only.partition("/")
        if wanted == size:
            print(json.dumps(_measure(contenders[name], options.repeats)))
            sys.exit(0)
        return {}
    print(f"\n{size}\n{'':26}{'median':>10}{'min .. max':>22}{'ratio':>8}{'peak GiB':>10}{'added':>8}  value")
    results: dict[str, dict[str, Any]] = {}
    order = [baseline, *(name for name in contenders if name != baseline)]
    for name in order:
        found = _in_child(size, name, options.limit)
        if "error" in found:
            print(f"{name:26}{found['error']}")
            continue
        results[name] = found
        print(_row(name, found, results.get(baseline)), flush=True)
    if options.write:
        _keep(options.scale, size, baseline, results)
    return results


def compare_sizes(
    description: str | None,
    sizes: Mapping[str, Mapping[str, tuple[Any, ...]]],
    contenders: Mapping[str, Callable[..., Callable[[], Any]]],
    *,
    baseline: str,
) -> None:
    """A whole script: `compare` at all sizes of the scale that the command line names.

    Args:
        description: for the command line.
        sizes: by scale and name; the arguments of every contender.
        contenders: by name; with these arguments each prepares what is timed.
        baseline: as of `compare`.
    """
    options = parse(description)
    for name, arguments in sizes[options.scale].items():
        compare(
            options,
            name,
            {who: functools.partial(make, *arguments) for who, make in contenders.items()},
            baseline=baseline,
        )


def declare_torchvision_operators() -> None:
    """Let torchvision be imported beside a torch of another build, which lacks its compiled operators.

    torch-fidelity and piq import torchvision but call no operator of it in what is measured here. Call before them.
    """
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    _KEPT.append(library)  # the operators live as long as this object
    while True:
        try:
            importlib.import_module("torchvision")
            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
        for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[module]


def _measure(contender: Contender, repeats: int) -> dict[str, Any]:
    run = contender()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    value = np.asarray(run(), np.float64)  # reading the value waits for the device
    first, seconds = time.perf_counter() - start, []
    for _ in range(repeats):
        start = time.perf_counter()
        value = np.asarray(run(), np.float64)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "first_seconds": first,
        "peak_gib": peak / GIBI,
        "added_gib": (peak - before) / GIBI,
        **_device(),
        "value": np.ravel(value)[:4].tolist(),
    }


def _device() -> dict[str, Any]:
    """Name and peak memory of the device that JAX used; of a contender that does not use JAX, the processor."""
    jax = sys.modules.get("jax")
    if jax is None:
        return {"device": "cpu", "device_gib": None}
    device = jax.local_devices()[0]
    used = (device.memory_stats() or {}).get("peak_bytes_in_use")
    return {"device": device.device_kind, "device_gib": None if used is None else used / 2**30}


def _keep(scale: str, size: str, baseline: str, results: Mapping[str, Any]) -> None:
    """Put what was found at one size in the place of what was found there before."""
    path = RESULTS / f"{Path(sys.argv[0]).stem}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept[size] = {
        "scale": scale,
        "baseline": baseline,
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "versions": _versions(),
        "contenders": results,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _in_child(size: str, name: str, limit: float) -> dict[str, Any]:
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    command = [sys.executable, "-m", module, *sys.argv[1:], "--only", f"{size}/{name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"gave up after {limit:g} s"}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _row(name: str, found: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    seconds = found["seconds"]
    median = statistics.median(seconds)
    spread = f"  {min(seconds):.3g} .. {max(seconds):.3g} s"
    ratio = f"{statistics.median(baseline['seconds']) / median:.2f}" if baseline else "-"
    value = " ".join(f"{v:.7g}" for v in found["value"])
    return f"{name:26}{median:8.3g} s{spread:>22}{ratio:>8}{found['peak_gib']:10.2f}{found['added_gib']:8.2f}  {value}"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())
