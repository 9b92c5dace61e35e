"""Pages of the documentation: every public name has one, tables have all their rows, tutorials are in the tree."""

import importlib.util
import re
from pathlib import Path

import pytest
from test_api import PUBLIC

from jaxpr.records import METRICS

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("docs_pages", ROOT / "tools/docs_pages.py")
docs_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docs_pages)


@pytest.fixture(scope="module")
def rooms():
    return {room: docs_pages.room_page(room, modules) for room, modules in docs_pages.rooms().items()}


def test_every_public_name_is_on_one_page(rooms):
    shown = re.findall(r"^\.\. auto(?:class|function):: (\S+)$", "\n".join(rooms.values()), re.MULTILINE)
    assert sorted(shown) == sorted(name for name in PUBLIC if "._" not in name)
    assert docs_pages.missing_names(shown) == set()
    assert docs_pages.missing_names(shown[1:]) == {shown[0]}


def test_a_page_has_what_its_room_is_for_and_methods_of_classes(rooms):
    assert rooms["metrics"].startswith("# `jaxpr.metrics`\n\nMeasures of distortion")
    assert ".. autoclass:: jaxpr.diffusion.schedule.Schedule\n   :members: " in rooms["diffusion"]


def test_the_table_of_metrics_has_a_row_for_each():
    rows = [line for line in docs_pages.metrics_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(METRICS)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 8 for row in rows)


def test_all_pages_are_in_the_tree_and_tutorials_have_cells():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("**/*.md"):
        name = str(path.relative_to(ROOT / "docs").with_suffix(""))
        if not name.startswith("_") and name != "index":
            assert f"\n{name}\n" in index, name
    for path in (ROOT / "docs/tutorials").glob("*.md"):
        assert "```{code-cell} ipython3\n" in path.read_text(encoding="utf-8"), path
