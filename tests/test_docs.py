"""What README, docs and the notebook show runs as typed, in order (here at the smallest scale, in this process)."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from golden_sizes import SWINIR
from PIL import Image

from jaxpr import evaluation
from jaxpr.cli.commands import main
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.swinir import swinir
from jaxpr.weights.torch_files import write_checkpoint

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("sh",)
NOTEBOOK = {"ipython": "cells of a notebook, which the notebook's own test runs", "bibtex": "nothing to run"}
OWN_FILE = "# femasr.py"  # needs a loader of PyTorch networks; tests/restorers/test_restorers_loader.py
ELSEWHERE = {
    "jaxpr doctor": "ends with code 1 where something is wrong; tests/test_cli_doctor.py",
    "jaxpr weights fetch swinir-classical-x4": "downloads; tests/test_cli_weights.py, from a server of its own",
    "jaxpr weights fetch bsrgan-x2": "downloads, too",
    "jaxpr evaluate --out runs/last": "needs a file of torch with dictionaries; tests/weights/test_weights_layouts.py",
    "jaxpr evaluate --out runs/swinir-fetched": "needs that download",
    "jaxpr evaluate --out runs/transport": "fits on whole photographs; tests/restorers/test_restorers_latent_words.py",
    "jaxpr evaluate --out runs/fid": "needs Inception's file of 90 MB; tests/models/test_models_inception.py",
}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(page, *block) for block in found if not block[0].startswith("{")]  # that is for Sphinx


def commands(page: Path) -> list[str]:
    """The commands of a page's shell blocks, without comments."""
    lines = [line for block in blocks(page) if block.language in SHELL for line in block.text.splitlines()]
    return [words for line in lines if (words := line.split(" #")[0].strip()) and not words.startswith("#")]


def picture(path: Path, side: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """The files that the placeholders stand for, in a folder where the smallest protocol is the default one."""
    for number in range(2):
        picture(tmp_path / f"path/to/images/{number}.png", 96, number)
        picture(tmp_path / f"path/to/high/{number}.png", 96, number)
        picture(tmp_path / f"path/to/low/{number}.png", 24, number)
        picture(tmp_path / f"truth/{number}.png", 96, number)
        picture(tmp_path / f"a/{number}x4_out.png", 96, number + 2)
        picture(tmp_path / f"b/{number}.png", 96, number + 4)
        picture(tmp_path / f"path/to/outputs/{number}.png", 96, number + 6)
    (tmp_path / "path/to/file.py").write_text(
        "import jax.numpy as jnp\n\n\ndef function(y):\n    return jnp.repeat(jnp.repeat(y, 4, 1), 4, 2)\n"
    )
    config = RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)
    names = torch_shapes(abstract_parameters(rrdbnet(config)))
    tensors = {name: np.full(shape, 0.01, np.float32) for name, shape in names.items()}
    write_checkpoint(tmp_path / "MINE.safetensors", tensors, {})
    swin = swinir(SWINIR)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in torch_shapes(abstract_parameters(swin)).items()}
    write_checkpoint(tmp_path / "FILE.safetensors", tensors, {})
    monkeypatch.chdir(tmp_path)
    smallest = evaluation.SCALES["smoke"]._replace(
        features="pixels", limit=2, attack_steps=1, sweep=(), lipschitz_iterations=0, explore_samples=0
    )
    monkeypatch.setitem(evaluation.SCALES, "small", smallest)
    return tmp_path


def slowly(page):
    """A parameter, thorough where its Python blocks take more than a few seconds."""
    return (
        pytest.param(page, marks=pytest.mark.thorough)
        if page.name in ("README.md", "explore.md", "transport.md")
        else page
    )


def test_every_block_is_of_a_kind_that_is_run_or_known():
    known = {*SHELL, "python", *NOTEBOOK}
    assert [(b.page.name, b.text) for page in PAGES for b in blocks(page) if b.language not in known] == []


@pytest.mark.parametrize("page", [slowly(page) for page in PAGES], ids=lambda page: page.name)
def test_python_blocks_run_in_order(page, user_folder):
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "python" and not block.text.startswith(OWN_FILE):
            exec(block.text, names)
    if page.name == "README.md":
        assert [r.name for r in names["results"].restorers] == ["bicubic"]
        assert Path("runs/mine/report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_jaxpr_commands_run_in_order(page, user_folder, capsys):
    for command in commands(page):
        if not command.startswith("jaxpr ") or f"{command} ".startswith(tuple(f"{words} " for words in ELSEWHERE)):
            continue
        # torch, which reads .pth, is no part of the development environment.
        command = command.replace("FILE.pth FILE.safetensors", "FILE.safetensors COPY.safetensors")
        # The file is a small one, which the name of the published one would refuse.
        words = shlex.split(command.replace("swinir-classical-x4:", "network:"))
        main([word.replace(".pth", ".safetensors") for word in words[1:]])
        found = re.search(r"--out (\S+)", command)
        assert found is None or Path(found[1]).is_file() or any(Path(found[1]).iterdir()), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_and_extras_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for command in commands(page):
        if command.startswith("make "):
            assert shlex.split(command)[1] in targets
        elif not command.startswith(("jaxpr ", "source ")):
            assert re.fullmatch(r"pip install -e \.|pip install -e \"\.\[[\w,]+\]\"", command), command
    text = page.read_text(encoding="utf-8")
    named = {extra for listed in re.findall(r"\.\[([\w,]+)\]", text) for extra in listed.split(",")}
    assert named <= extras
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)`", text)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def notebook_cells() -> list[str]:
    cells = json.loads((ROOT / "notebooks/quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] for cell in cells)
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


RUN_NOTEBOOK = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
shrink = "evaluation.SCALES['small'] = evaluation.SCALES['smoke']._replace(features='pixels', limit=2)"
notebook.cells.insert(2, nbformat.v4.new_code_cell("from jaxpr import evaluation\\n" + shrink))
nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""), output["output_type"])
"""


def run_notebook(folder: Path) -> subprocess.CompletedProcess:
    """The notebook top to bottom in a kernel of its own; pip only says what it would install."""
    environment = os.environ | {"PIP_DRY_RUN": "1", "JAX_PLATFORMS": "cpu"}
    arguments = [sys.executable, "-c", RUN_NOTEBOOK, str(ROOT / "notebooks/quickstart.ipynb"), str(folder)]
    return subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=400)


@pytest.mark.versions
def test_notebook_runs_top_to_bottom(tmp_path):
    (tmp_path / "jaxpr").symlink_to(ROOT)
    done = run_notebook(tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"jaxpr from {tmp_path / 'jaxpr'}, jax=={metadata.version('jax')}, cpu" in done.stdout
    assert "bicubic+project" in done.stdout
    assert done.stdout.count("display_data") == 2
    assert (tmp_path / "runs/quickstart/results.json").is_file()


def test_notebook_says_where_the_clone_belongs(tmp_path):
    done = run_notebook(tmp_path)
    assert done.returncode != 0
    assert f"Upload or clone it to {tmp_path / 'jaxpr'}" in done.stderr


def test_notebook_stops_when_the_backend_changed():
    cell, answers = notebook_cells()[0], iter(["gpu", "cpu"])
    source = re.sub(r"^%pip .*$", "", cell, flags=re.MULTILINE)
    assert source != cell
    source = source.replace("before = default", "default_backend = answer\nbefore = default")
    with pytest.raises(SystemExit, match=r"used the gpu before .* cpu now.*install jax==[\d.]+ jaxlib==[\d.]+"):
        exec(source, {"answer": lambda: next(answers)})
