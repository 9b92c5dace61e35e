"""Tutorials of the documentation run top to bottom, each in a kernel and a folder of its own, and show something."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs/tutorials"
RUN = """
import json
import sys
import nbclient
import nbformat

cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[1]}}).execute()
for cell in notebook.cells:
    for output in cell.outputs:
        print(output.output_type, *output.get("data", {}), output.get("text", ""))
"""
SHOWN = {
    "stand": ("image/png", "sharpened"),
    "outputs": ("others",),
    "erratic": ("image/png", "photos-gan-0.1 +K̄"),
    "difference": ("lanczos - bicubic: [+-]",),
    "transport": ("image/png", "α = 0.5"),
    "explore": ("image/png", "explore.html"),
    "posterior": ("exact", "ddrm", "ddnm", "dps"),
    "extend": ("text/plain",),
}


def cells(page: Path) -> list[str]:
    """Code of a tutorial, without options of its cells."""
    found = re.findall(
        r"^```\{code-cell\} ipython3\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return [re.sub(r"^:.*\n", "", cell) for cell in found]


def test_all_tutorials_are_known():
    assert {page.stem for page in FOLDER.glob("*.md")} == set(SHOWN)


@pytest.mark.thorough
@pytest.mark.parametrize("name", SHOWN)
def test_tutorials_run_and_show(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a kernel's own shows pictures
    arguments = [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path)]
    text = json.dumps(cells(FOLDER / f"{name}.md"))
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    for pattern in SHOWN[name]:
        assert re.search(pattern, done.stdout), (pattern, done.stdout[-3000:])
