"""What the README and the notebook show runs as written (at the smallest scale)."""

import json
import re
from pathlib import Path

import jax
import pytest

from jaxpr import evaluation

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def smallest_scale(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(evaluation.SCALES, "small", evaluation.SCALES["smoke"]._replace(features="pixels"))


def test_readme_examples():
    first, second = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(first, names)
    assert [r.name for r in names["results"].restorers] == ["nearest", "bicubic"]
    assert Path("runs/mine/report.html").is_file()
    names |= {
        "key": jax.random.key(0),
        "restorer": names["restorers"]["nearest"],
        "y": jax.numpy.full((2, 8, 8, 3), 0.5),
    }
    exec(second, names)
    assert names["ratio"] == pytest.approx([4.0, 4.0], rel=1e-5)  # pixel repetition by 4 in both directions


def test_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) >= 2
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_notebook_cells(capsys):
    notebook = json.loads((ROOT / "notebooks/quickstart.ipynb").read_text())
    names: dict[str, object] = {"display": print}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and not cell["source"][0].startswith("%pip"):
            source = "".join(cell["source"]).replace("from IPython.display import display\n", "")
            exec(source, names)
        assert cell.get("outputs", []) == []
    assert "bicubic+project" in capsys.readouterr().out
    assert Path("runs/quickstart/results.json").is_file()
