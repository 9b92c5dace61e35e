"""`jaxpr doctor`: exact words on made-up machines, and this machine as it is."""

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

import jaxpr
from jaxpr import doctor
from jaxpr.cli.commands import main
from jaxpr.doctor import Device, Facts, Memory, collect, collect_facts, diagnose, idle_accelerator
from jaxpr.doctor.requirements import allows, pip_install, release, requirements_here

ROOT = Path(jaxpr.__file__).parents[1]
GIB = 2**30
CUDA = {"jax-cuda12-pjrt": "0.7.2", "jax-cuda12-plugin": "0.7.2"}
GPU = ("/dev/nvidia0", "/dev/nvidiactl", "/proc/driver/nvidia")
RESTART = "Afterwards start Python anew (in a notebook: restart the runtime)."

HEALTHY = Facts(
    python="3.12.1",
    platform="Linux",
    jaxpr="0.1.0",
    installed="0.1.0",
    packages={"jax": "0.7.2", "jaxlib": "0.7.2", "flax": "0.12.0", "tqdm": "4.67.3", "packaging": "26.0"},
    plugins={},
    requirements=("jax>=0.7.2", "flax<0.13,>=0.12.0", "tqdm>=4.67", 'torch>=2.6; extra == "torch"'),
    jax_requirements=(
        "jaxlib<=0.7.2,>=0.7.2",
        'libtpu==0.0.23.*; extra == "tpu"',
        'jaxlib<=0.1,>=0.1; extra == "other"',
    ),
    jax_wanted={"flax": ">=0.7.1"},
    backend="cpu",
    devices=(Device(platform="cpu", kind="cpu", memory=None),),
    dtypes={"float32": "ok"},
    memory=Memory(free=GIB, total=2 * GIB),
    environment={},
    gpu_signs=(),
    tpu_signs=(),
    nvidia_driver=None,
)
ON_GPU = replace(HEALTHY, backend="gpu", plugins=CUDA, gpu_signs=GPU, nvidia_driver="580.65.06")
IDLE_GPU = replace(ON_GPU, backend="cpu")
ON_TPU = replace(HEALTHY, backend="tpu", plugins={"libtpu": "0.0.23.1"}, tpu_signs=("/dev/accel0",))
IDLE_TPU = replace(ON_TPU, backend="cpu")
# What an installation without a version of jax makes of a hosted notebook.
REPLACED = replace(
    IDLE_GPU,
    packages={**HEALTHY.packages, "jax": "0.12.0.1", "jaxlib": "0.12.0.1", "flax": "0.12.12"},
    jax_requirements=("jaxlib<=0.12.0.1,>=0.12.0.1", 'libtpu==0.0.50.*; extra == "tpu"'),
    jax_wanted={"flax": ">=0.10.0"},
)
SEEN = f"An NVIDIA GPU is here ({', '.join(GPU)}; driver 580.65.06), but JAX does not use it"


def only(facts: Facts) -> doctor.Finding:
    (found,) = diagnose(facts)
    return found


def with_packages(facts: Facts, **changes: str | None) -> Facts:
    return replace(facts, packages={**facts.packages, **changes})


@pytest.mark.parametrize("facts", [HEALTHY, ON_GPU, ON_TPU], ids=["cpu", "gpu", "tpu"])
def test_nothing_is_wrong_with_a_healthy_machine(facts):
    assert diagnose(facts) == ()
    assert doctor.report_text(facts, ()).endswith("\n\nNothing is wrong.")
    assert doctor.report_record(facts, ())["ok"]


WRONG = {
    "GPU, no plugin": (
        replace(IDLE_GPU, plugins={}),
        f"{SEEN}: no plugin for it is installed. This installs one for the jax that is here; the second command is "
        f"for drivers from 580 on, either will do. {RESTART}",
        ('pip install "jax[cuda12]==0.7.2"', 'pip install "jax[cuda13]==0.7.2"'),
    ),
    "GPU, no plugin for it, old driver": (
        replace(IDLE_GPU, plugins={"jax-rocm7-plugin": "0.7.2"}, nvidia_driver="535.104.05"),
        f"{SEEN.replace('580.65.06', '535.104.05')}: no plugin for it is installed. This installs one for the jax "
        f"that is here. {RESTART}",
        ('pip install "jax[cuda12]==0.7.2"',),
    ),
    "GPU, JAX_PLATFORMS": (
        replace(IDLE_GPU, environment={"JAX_PLATFORMS": "cpu"}),
        f"{SEEN}: JAX_PLATFORMS=cpu asks for cpu first. This lifts it.",
        ("unset JAX_PLATFORMS",),
    ),
    "GPU, hidden": (
        replace(IDLE_GPU, environment={"CUDA_VISIBLE_DEVICES": "-1"}),
        f"{SEEN}: CUDA_VISIBLE_DEVICES=-1 hides it. This shows it again.",
        ("unset CUDA_VISIBLE_DEVICES",),
    ),
    "GPU, everything is there": (
        replace(IDLE_GPU, environment={"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": ""}),
        f"{SEEN}, though jax-cuda12-pjrt 0.7.2 and jax-cuda12-plugin 0.7.2 are installed. The first command shows "
        "whether the driver answers, the second what JAX says about the GPU.",
        ("nvidia-smi", "JAX_PLATFORMS=cuda jaxpr doctor"),
    ),
    "GPU of the host of a container": (
        replace(IDLE_GPU, plugins={}, gpu_signs=("/proc/driver/nvidia",)),
        "The driver of an NVIDIA GPU is loaded (/proc/driver/nvidia; driver 580.65.06), but no device file "
        "/dev/nvidia* is here. A container must be started with the GPU, for example by docker run --gpus all.",
        (),
    ),
    "TPU, no libtpu": (
        replace(IDLE_TPU, plugins={}),
        "A TPU is here (/dev/accel0), but JAX does not use it: libtpu is not installed. This installs the one of "
        f"the jax that is here. {RESTART}",
        ('pip install "jax[tpu]==0.7.2"',),
    ),
    "TPU, JAX_PLATFORMS": (
        replace(IDLE_TPU, environment={"JAX_PLATFORMS": "CPU,tpu"}),
        "A TPU is here (/dev/accel0), but JAX does not use it: JAX_PLATFORMS=CPU,tpu asks for cpu first. This lifts "
        "it.",
        ("unset JAX_PLATFORMS",),
    ),
    "TPU, taken": (
        IDLE_TPU,
        "A TPU is here (/dev/accel0), but JAX does not use it, though libtpu 0.0.23.1 is installed. Only one "
        "process at a time can use a TPU: end the others, or restart the runtime. The command shows what JAX says "
        "about it.",
        ("JAX_PLATFORMS=tpu jaxpr doctor",),
    ),
    "libtpu of another jax": (
        replace(IDLE_TPU, plugins={"libtpu": "0.0.21.1"}),
        "libtpu 0.0.21.1 is installed, but jax 0.7.2 asks for libtpu==0.0.23.*. Put back the jax that libtpu came "
        f"with, or install the libtpu of this jax. {RESTART}",
        ('pip install "jax[tpu]==0.7.2"',),
    ),
    "jax replaced, plugin left": (
        replace(REPLACED, jax_wanted={}),
        "jax-cuda12-pjrt 0.7.2 and jax-cuda12-plugin 0.7.2 do not fit jaxlib 0.12.0.1, so JAX ignores them and uses "
        "no GPU. An installation has probably replaced jax and left the plugin. This puts jax back to the plugin's "
        f"version. {RESTART}",
        ('pip install "jax==0.7.2" "jaxlib==0.7.2"',),
    ),
    "jax replaced, Flax with it": (
        REPLACED,
        "jax-cuda12-pjrt 0.7.2 and jax-cuda12-plugin 0.7.2 do not fit jaxlib 0.12.0.1, so JAX ignores them and uses "
        "no GPU. An installation has probably replaced jax and left the plugin. This puts jax back to the plugin's "
        f"version, and flax to one that works with it. {RESTART}",
        ('pip install "jax==0.7.2" "jaxlib==0.7.2" "flax<0.13,>=0.12.0"',),
    ),
    "plugin too old for jaxpr": (
        replace(REPLACED, plugins={"jax-cuda13-plugin": "0.6.2"}),
        "jax-cuda13-plugin 0.6.2 does not fit jaxlib 0.12.0.1, so JAX ignores it and uses no GPU. This brings the "
        f"plugin to the version of jax. {RESTART}",
        ('pip install "jax[cuda13]==0.12.0.1"',),
    ),
    "jax put back, Flax left": (
        replace(with_packages(ON_GPU, flax="0.12.12"), jax_wanted={"flax": ">=0.10.0"}),
        f"flax 0.12.12 asks for jax>=0.10.0, but jax 0.7.2 is installed. This leaves jax alone. {RESTART}",
        ('pip install "jax==0.7.2" "flax<0.13,>=0.12.0"',),
    ),
    "jaxlib of another jax": (
        with_packages(HEALTHY, jaxlib="0.7.1"),
        f"jax 0.7.2 asks for jaxlib<=0.7.2,>=0.7.2, but jaxlib 0.7.1 is installed. {RESTART}",
        ('pip install "jax==0.7.2"',),
    ),
    "package too old": (
        with_packages(HEALTHY, flax="0.11.2"),
        f"jaxpr asks for flax<0.13,>=0.12.0 (found 0.11.2). This installs what fits and leaves jax alone. {RESTART}",
        ('pip install "jax==0.7.2" "flax<0.13,>=0.12.0"',),
    ),
    "packages too new and missing": (
        with_packages(HEALTHY, flax="0.13.0", tqdm=None),
        "jaxpr asks for flax<0.13,>=0.12.0 (found 0.13.0), tqdm>=4.67 (found none). This installs what fits and "
        f"leaves jax alone. {RESTART}",
        ('pip install "jax==0.7.2" "flax<0.13,>=0.12.0" "tqdm>=4.67"',),
    ),
    "jax too old": (
        replace(with_packages(HEALTHY, jax="0.6.0", jaxlib="0.6.0"), jax_requirements=(), jax_wanted={}),
        f"jaxpr asks for jax>=0.7.2 (found 0.6.0). This installs what fits. {RESTART}",
        ('pip install "jax>=0.7.2"',),
    ),
    "no backend": (
        replace(HEALTHY, backend=None, backend_error="Unable to initialize backend 'tpu'."),
        "JAX does not compute: Unable to initialize backend 'tpu'.",
        (),
    ),
    "no backend of that name": (
        replace(HEALTHY, backend=None, backend_error="Unknown backend cud", environment={"JAX_PLATFORMS": "cud"}),
        "JAX does not compute: Unknown backend cud. JAX_PLATFORMS=cud lets JAX use nothing else; this lifts it.",
        ("unset JAX_PLATFORMS",),
    ),
    "no jax, no metadata": (
        replace(with_packages(HEALTHY, jax=None), requirements=(), backend=None, backend_error="No module named 'jax'"),
        "jax is not installed.",
        ("pip install jax",),
    ),
    "commands cannot be imported": (
        replace(HEALTHY, import_error="AttributeError: module 'flax.nnx' has no attribute 'List'"),
        "jaxpr's other commands cannot be imported: AttributeError: module 'flax.nnx' has no attribute 'List'. "
        "Packages that are missing or do not fit are named below; if there are none, this is an error of jaxpr: "
        "report it with this output.",
        (),
    ),
}
NOTES = {
    "works though metadata disagree": (
        replace(ON_TPU, plugins={"libtpu": "0.0.21.1"}),
        "libtpu 0.0.21.1 is installed, but jax 0.7.2 asks for libtpu==0.0.23.*. The TPU computes nevertheless: "
        "leave both alone.",
        (),
    ),
    "second plugin": (
        replace(ON_GPU, plugins={**CUDA, "jax-cuda13-plugin": "0.7.1"}),
        "jax-cuda13-plugin 0.7.1 does not fit jaxlib 0.7.2 and is left over: JAX has another one. This removes what "
        "is left over.",
        ("pip uninstall jax-cuda13-plugin",),
    ),
    "plugin without a GPU": (
        replace(HEALTHY, plugins={"jax-cuda12-plugin": "0.7.2"}),
        "Installed for an accelerator: jax-cuda12-plugin 0.7.2. But neither an NVIDIA GPU nor a TPU is seen, so the "
        "CPU computes. In a hosted notebook choose a runtime with one; start containers with it.",
        (),
    ),
    "from its source": (
        replace(HEALTHY, installed=None, requirements=()),
        "jaxpr runs from its source and is not installed, so what it asks of other packages was not compared. In "
        "the folder of its pyproject.toml this installs it and leaves jax alone.",
        ('pip install "jax==0.7.2" .',),
    ),
    "another copy": (
        replace(HEALTHY, installed="0.0.9"),
        "jaxpr 0.1.0 runs, but 0.0.9 is installed: Python found another copy of it first.",
        (),
    ),
    "nothing to compare with": (
        with_packages(HEALTHY, packaging=None),
        "packaging is not installed, so versions of packages were not compared.",
        ("pip install packaging",),
    ),
}


@pytest.mark.parametrize("name", WRONG | NOTES)
def test_a_finding_has_these_words_and_commands(name):
    facts, text, commands = (WRONG | NOTES)[name]
    found = only(facts)
    assert (found.text, found.commands, found.wrong) == (text, commands, name in WRONG)
    report = doctor.report_text(facts, [found])
    assert report.endswith(
        "\n".join([f"{'wrong' if found.wrong else 'note'}: {text}", *(f"    {c}" for c in commands)])
    )
    assert ("Nothing is wrong." in report) is (name in NOTES)
    record = json.loads(json.dumps(doctor.report_record(facts, [found])))
    assert record["ok"] is (name in NOTES)
    assert record["findings"][0]["commands"] == list(commands)


def test_independent_findings_are_separate_paragraphs_and_notes_come_last():
    facts = replace(IDLE_GPU, plugins={}, environment={"JAX_PLATFORMS": "cpu"}, installed=None, requirements=())
    found = diagnose(facts)
    assert [(finding.about, finding.wrong) for finding in found] == [
        ("platforms", True),
        ("gpu", True),
        ("source", False),
    ]
    assert "2 things are wrong.\n\nwrong: " in doctor.report_text(facts, found)


def test_platform_that_does_not_start_still_says_which_plugin_is_missing():
    facts = replace(
        IDLE_GPU, plugins={}, backend=None, backend_error="x", environment={"JAX_PLATFORMS": "cuda"}, devices=()
    )
    assert [finding.about for finding in diagnose(facts)] == ["backend", "gpu"]


def test_jaxlib_is_put_back_to_the_plugin_not_to_the_newer_jax():
    facts = with_packages(REPLACED, jaxlib="0.7.2")
    assert [finding.about for finding in diagnose(facts)] == ["jaxlib"]
    assert only(facts).commands == ('pip install "jax==0.7.2" "jaxlib==0.7.2" "flax<0.13,>=0.12.0"',)


def test_plugins_that_jax_does_not_compare_are_not_compared():
    assert diagnose(replace(ON_GPU, plugins={"jax-rocm7-plugin": "0.10.2", "jax-metal": "0.1.1"})) == ()
    assert diagnose(replace(ON_GPU, plugins={"jax-cuda12-plugin": "unknown"})) == ()


@pytest.mark.parametrize(
    ("backend", "plugins", "environment", "warns"),
    [
        ("cpu", CUDA, {}, True),
        ("cpu", {"libtpu": "0.0.23"}, {"JAX_PLATFORMS": ""}, True),
        ("cpu", CUDA, {"JAX_PLATFORMS": "cuda,cpu"}, False),
        ("cpu", CUDA, {"JAX_PLATFORMS": " CPU"}, False),
        ("gpu", CUDA, {}, False),
        ("cpu", {}, {}, False),
    ],
)
def test_when_the_cpu_computes_without_having_been_asked(backend, plugins, environment, warns):
    found = idle_accelerator(backend, plugins, environment)
    assert (found is not None) is warns
    if plugins == CUDA and warns:
        expected = "jax-cuda12-pjrt 0.7.2 and jax-cuda12-plugin 0.7.2 are installed"
        assert found == f"computing on the CPU although {expected}; `jaxpr doctor` says why"


def test_the_installation_line_pins_the_installed_jax(monkeypatch):
    assert doctor.install_line("jaxpr") == f'pip install "jax=={version("jax")}" jaxpr'
    assert doctor.install_line("./my folder") == f'pip install "jax=={version("jax")}" "./my folder"'
    monkeypatch.setattr("jaxpr.doctor.requirements.version", lambda name: 1 / 0)
    assert doctor.install_line("jaxpr") == "pip install jaxpr"


def test_versions_and_requirements():
    assert release("0.12.0.1.dev3+local") == (0, 12, 0, 1)
    assert release(None) == release("unknown") == ()
    assert allows(">=0.7.2", "0.10.0")  # not as text
    assert not allows(">=0.7.2", "0.7.1")
    assert allows(">=0.7.2", "0.8.0.dev1")
    assert allows("nonsense", "1.0")
    assert requirements_here(["Jax_Lib>=1; python_version > '3'", "b; extra == 'x'", "?!", "c<2; os_name == 'no'"]) == {
        "jax-lib": ">=1"
    }
    assert requirements_here(["b>1; extra == 'x'"], extra="x") == {"b": ">1"}
    assert pip_install("-e", ".", "a[b]") == 'pip install -e . "a[b]"'


def test_every_requirement_is_looked_at():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(requirements_here(declared)) <= set(collect.PACKAGES)


def test_units_of_dtypes():
    def has(name, flags=frozenset(), **device):
        return collect._has_units(name, SimpleNamespace(**device), lambda: frozenset(flags))

    assert not has("bfloat16", platform="gpu", compute_capability="7.5")  # T4
    assert has("bfloat16", platform="gpu", compute_capability="10.0")
    assert has("bfloat16", platform="gpu")
    assert has("bfloat16", {"avx512_bf16"}, platform="cpu")
    assert not has("float16", {"avx512_bf16"}, platform="cpu")
    assert has("float16", platform="cpu")  # flags unknown
    assert not has("float16", platform="tpu")
    assert has("bfloat16", platform="tpu")


def test_a_device_that_computes_wrongly_or_raises():
    class Pairs:  # as where two float32 stand for one float64
        dtype = "float64"

        def __float__(self) -> float:
            return 1 + 2.0**-25

    device = SimpleNamespace(platform="tpu", device_kind="TPU v2")
    assert collect._dtype_support("float64", device) == "ok"  # the CPU, asked as if it were this device
    assert collect._dtype_support("float16", device) == "emulated"
    assert collect._dtype_support("no such dtype", device) == "unsupported"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jax.numpy.asarray", lambda *_: SimpleProduct(Pairs()))
        assert collect._dtype_support("float64", device) == "emulated"
        patch.setattr("jax.numpy.asarray", lambda *_: SimpleProduct(Pairs(), dtype="float32"))
        assert collect._dtype_support("float64", device) == "unsupported"


class SimpleProduct:
    """A number whose square is given."""

    def __init__(self, square: object, dtype: str = "float64") -> None:
        self.square = square
        square.dtype = dtype

    def __mul__(self, _: object) -> object:
        return self.square


def test_what_fails_becomes_a_fact(monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("\nthe backend is in pieces\nsecond line")

    monkeypatch.setattr("jax.default_backend", fail)
    monkeypatch.setattr("importlib.metadata.version", fail)
    monkeypatch.setattr("importlib.metadata.requires", fail)
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: (_ for _ in ()).throw(OSError()))
    facts = collect_facts()
    assert facts.backend is None
    assert facts.backend_error == "the backend is in pieces"
    assert set(facts.packages.values()) == {None}
    assert facts.memory.total is None or facts.memory.total > 0
    assert next(finding.about for finding in diagnose(facts) if finding.wrong) == "backend"
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in set(os.environ) - set(facts.environment)


def test_bytes_are_read_where_a_device_tells_them():
    def device(stats):
        return SimpleNamespace(memory_stats=stats)

    assert collect._device_memory(device(lambda: {"bytes_limit": 10, "bytes_in_use": 4})) == Memory(free=6, total=10)
    assert collect._device_memory(device(lambda: None)) is None
    assert collect._device_memory(device(lambda: 1 / 0)) is None
    text = doctor.report_text(
        replace(HEALTHY, devices=(Device(platform="gpu", kind="T4", memory=Memory(free=3 * GIB, total=15 * GIB)),)), ()
    )
    assert "memory of device 0: 3.0 GiB free of 15.0 GiB" in text
    assert "host memory: 1.0 GiB free of 2.0 GiB" in text
    assert 'leave this jax alone: pip install "jax==0.7.2" ./jaxpr' in text


def write_distribution(folder: Path, name: str, number: str, *requires: str) -> None:
    place = folder / f"{name.replace('-', '_')}-{number}.dist-info"
    place.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {number}", *(f"Requires-Dist: {r}" for r in requires)]
    (place / "METADATA").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path):
    """A folder of distributions before all others, with jaxpr installed as pyproject.toml declares it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    write_distribution(tmp_path / "site", "jaxpr", jaxpr.__version__, *declared)
    return tmp_path / "site"


def command(site: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "CUDA_", "TPU_", "COLAB_"))}
    return subprocess.run(
        [sys.executable, "-m", "jaxpr", *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**kept, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), **environment},
    )


@pytest.mark.thorough
def test_this_machine(site):
    done = command(site, "doctor", "--json", XLA_FLAGS="--xla_force_host_platform_device_count=2", JAX_PLATFORMS="cpu")
    record = json.loads(done.stdout)
    facts = record["facts"]
    assert facts.keys() == Facts.__dataclass_fields__.keys()
    assert done.returncode == (0 if record["ok"] else 1)
    assert record["ok"] == (not any(finding["wrong"] for finding in record["findings"]))
    assert {finding["about"] for finding in record["findings"] if finding["wrong"]} <= {"platforms"}  # where a GPU is
    assert facts["packages"]["jax"] == version("jax")
    assert None not in facts["packages"].values()
    assert facts["installed"] == facts["jaxpr"] == jaxpr.__version__
    assert [device["platform"] for device in facts["devices"]] == ["cpu", "cpu"]
    assert facts["dtypes"].keys() == {"float32", "float64", "bfloat16", "float16"}
    assert facts["dtypes"]["float32"] == facts["dtypes"]["float64"] == "ok"
    assert 0 < facts["memory"]["free"] < facts["memory"]["total"]
    assert facts["environment"] == {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    assert record["install"] == f'pip install "jax=={version("jax")}" ./jaxpr'


def test_within_the_command_line(capsys):
    code = 0
    try:
        main(["doctor"])
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr().out
    assert code == (0 if "\n\nNothing is wrong." in printed else 1)
    assert re.search(rf"^packages: jax {re.escape(version('jax'))}, jaxlib ", printed, re.MULTILINE)
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--help"])
    assert stop.value.code == 0
    assert "Exit code 0: nothing is wrong; 1: something is." in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["version"])
    assert stop.value.code == 2


# Any other release than the one that is installed, which jaxpr can use.
OTHER = "0.7.2" if release(version("jaxlib")) != (0, 7, 2) else "0.8.0"


@pytest.mark.thorough
def test_a_plugin_of_another_version_is_found(site):
    write_distribution(site, "jax-cuda12-plugin", OTHER)
    done = command(site, "doctor")
    assert done.returncode == 1
    assert f"plugins of JAX: jax-cuda12-plugin {OTHER}" in done.stdout
    assert f"wrong: jax-cuda12-plugin {OTHER} does not fit jaxlib {version('jaxlib')}, so JAX ignores it" in done.stdout
    assert f'\n    pip install "jax=={OTHER}" "jaxlib=={OTHER}"' in done.stdout


COMPUTE = {
    "evaluate": [
        *("evaluate", "--data", "digits", "--degradation", "average-x2", "--restorers", "no-such-restorer"),
        *("--scale", "smoke", "--crop", "0", "--out", "run"),
    ],
    "decisions": ["decisions", "--restorers", "no-such-restorer", "--out", "run"],
    "reproduce": ["reproduce", "no_such_experiment", "--out", "run"],
    "train": ["train", "digits", "--only", "no-such-recipe", "--out", "run"],
}


def warned(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "jaxpr doctor" in line]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["evaluate", "decisions", "reproduce"])
def test_commands_that_compute_warn_in_one_line(site, name):
    """They reach the warning and stop soon after it, at a name that is not there."""
    write_distribution(site, "jax-cuda12-plugin", OTHER)
    done = command(site, *COMPUTE[name])
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    text = f"computing on the CPU although jax-cuda12-plugin {OTHER} is installed; `jaxpr doctor` says why"
    assert warned(done) == [f"warning: {text}"]


@pytest.mark.thorough
def test_no_warning_where_the_cpu_is_asked_for_or_nothing_is_installed(site):
    assert warned(command(site, *COMPUTE["decisions"])) == []
    write_distribution(site, "jax-cuda12-plugin", OTHER)
    assert warned(command(site, *COMPUTE["decisions"], JAX_PLATFORMS="cpu")) == []


def test_train_warns_before_it_trains(monkeypatch, tmp_path):
    def trains(*_: object, **__: object) -> None:
        raise AssertionError("trained before the warning")

    monkeypatch.setattr("jaxpr.cli.train.use_all_cores", lambda: None)
    monkeypatch.setattr("jaxpr.cli.train.drive", trains)
    monkeypatch.setattr("jaxpr.doctor.collect.installed_plugins", lambda: CUDA)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr("jax.default_backend", lambda: "cpu")
    from jaxpr.cli.train import Train

    with pytest.warns(RuntimeWarning, match="computing on the CPU although"), pytest.raises(AssertionError):
        Train(config="digits", scale="smoke", out=tmp_path).run()


@pytest.mark.thorough
def test_doctor_runs_where_other_commands_cannot_be_imported(site):
    (site / "flax").mkdir()
    (site / "flax/__init__.py").write_text("raise AttributeError('of another Flax')")
    write_distribution(site, "flax", "0.11.2")
    done = command(site, "doctor")
    assert done.returncode == 1, done.stderr
    assert "jaxpr's other commands cannot be imported: AttributeError: of another Flax" in done.stdout
    expected = f'    pip install "jax=={version("jax")}" "flax<0.13,>=0.12.0"'
    assert expected in done.stdout.splitlines()
    done = command(site, "compare", "a", "--out", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: jaxpr cannot be imported (AttributeError: of another Flax); `jaxpr doctor` says what mends it\n"
    )


def test_doctor_needs_nothing_but_python():
    """`-S` leaves out every installed package: no JAX, no packaging, no metadata."""
    program = """
        import sys
        from jaxpr.cli.doctor import examine
        assert not examine(json=False, import_error="No module named 'jax'")
        assert "jax" not in sys.modules
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "wrong: jax is not installed.\n    pip install jax\n" in done.stdout
    assert "note: packaging is not installed" in done.stdout
    assert "backend: none" in done.stdout
