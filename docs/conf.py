"""How the documentation is built: `make docs`.

Pages that the code's own tables make, and one for each room of the package, are written to `docs/_generated` first.
Tutorials are notebooks in Markdown; they run when the site is built.
"""

import importlib.metadata
import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tools"))

from docs_pages import missing_names, write_pages  # noqa: E402 - the path is set above

# For the kernels of the tutorials, too.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

project = "jaxpr"
author = "the jaxpr authors"
release = version = importlib.metadata.version("jaxpr")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "jaxpr"
html_static_path = ["_static"]
html_css_files = ["jaxpr.css"]
html_theme_options = {"sidebar_hide_name": False}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_cache_path = str(HERE / "_build" / "executed")
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars

autodoc_typehints = "none"  # docstrings say shapes, which types do not
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 90
napoleon_use_rtype = False
napoleon_attr_annotations = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
pygments_style, pygments_dark_style = "tango", "monokai"

OUTSIDE = {  # what lies beside docs/, and its page; the notebook has the tutorial's question
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/README.md": "experiments.md",
    "benchmarks/README.md": "benchmarks.md",
    "notebooks/quickstart.ipynb": "tutorials/stand.md",
}


def to_pages(text: str, folder: str) -> str:
    """Links between files of the repository as links between pages; `folder` is that of the text, "" for the root."""

    def replaced(found: re.Match) -> str:
        target, anchor = found.groups()
        place = os.path.normpath(os.path.join(folder, target))
        if place in OUTSIDE:
            return f"](/{OUTSIDE[place]}{anchor})"
        if place.startswith("docs/") or place.endswith((".png", ".jpg")):
            return f"](/{os.path.relpath(place, 'docs')}{anchor})"
        return str(found[0])

    return re.sub(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)]*|)\)", replaced, text)


def escape_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Bars and stars of formulas are no markup of reStructuredText."""
    for index, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`[^`]*`)", line)
        for place in range(0, len(parts), 2):
            parts[place] = re.sub(r"(?<!\\)([|*])", r"\\\1", parts[place])
            parts[place] = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", parts[place])
        for place in range(1, len(parts), 2):
            if not parts[place].startswith("``"):
                parts[place] = f"`{parts[place]}`"  # code, not a reference
        lines[index] = "".join(parts)


def setup(app: Any) -> None:
    """Generate pages before, and look for names without a page after."""
    app.connect("builder-inited", lambda app: write_pages(HERE / "_generated"))
    app.connect("source-read", lambda app, page, source: source.__setitem__(0, to_pages(source[0], f"docs/{page}/..")))
    app.connect("include-read", _included)
    app.connect("autodoc-process-docstring", escape_docstring, priority=1)
    app.connect("build-finished", _checked)


def _included(app: Any, path: Path, page: str, content: list[str]) -> None:
    folder = os.path.relpath(Path(app.srcdir, path).resolve().parent, HERE.parent)
    content[0] = to_pages(content[0], "" if folder == "." else folder)


def _checked(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html":
        missing = missing_names(set(app.env.get_domain("py").objects))
        if missing:
            raise RuntimeError(f"public names without a page: {', '.join(sorted(missing))}")
