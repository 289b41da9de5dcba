"""The shape of the code: what imports what, and how soon."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    "machine",
    "data",
    "backbones",
    "activations",
    "sae",
    "training",
    "tasks",
    "features",
    "evaluation",
    "probing",
    "intervention",
    "hypotheses",
    "report",
    "atlas",
    "study",
    "app",
]
MODULES = sorted((ROOT / "saev").rglob("*.py"))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_saev_imports_only_upwards_and_knows_no_framework(path):
    names = imports(path)
    roots = {name.split(".")[0] for name in names}
    assert not roots & {"hydra", "omegaconf", "dvc", "pipeline"}
    package = path.relative_to(ROOT / "saev").parts[0]
    if package in ORDER:
        used = {
            name.split(".")[1] for name in names if name.startswith("saev.") and name.split(".")[1] in ORDER
        }
        assert all(ORDER.index(other) <= ORDER.index(package) for other in used)


def files_used(path: Path) -> set[Path]:
    """The modules of saev that one imports at its top, packages' faces looked through."""
    used = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "saev":
            for alias in node.names:
                base = ROOT / node.module.replace(".", "/")
                inner = base / f"{alias.name}.py"
                used.add(inner if inner.is_file() else base.with_suffix(".py"))
    return {file for file in used if file.is_file()}


def test_no_circles():
    graph = {path: files_used(path) for path in MODULES}
    while graph:
        free = [path for path, used in graph.items() if not used & graph.keys()]
        assert free, f"circle among {sorted(path.name for path in graph)}"
        for path in free:
            del graph[path]


def test_no_module_hides_a_name_that_others_mean():
    """A stage run by its path puts pipeline/ before the standard library; and a function that a package
    exports under its module's name makes the module unreachable."""
    stages = {path.stem for path in (ROOT / "pipeline").glob("*.py")}
    assert not stages & sys.stdlib_module_names
    for face in (ROOT / "saev").rglob("__init__.py"):
        exported = {
            alias.asname or alias.name
            for node in ast.parse(face.read_text()).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        modules = {path.stem for path in face.parent.glob("*.py")}
        assert not exported & modules, face


def test_import_is_light():
    code = "import sys, time; t = time.process_time(); import saev, saev.machine; "
    code += "print(time.process_time() - t, 'torch' in sys.modules)"
    elapsed, torch_loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(elapsed) < 0.3 and torch_loaded == "False"


def test_a_stage_waits_only_for_the_libraries_that_it_uses():
    """Each of these is a second or two, in each of the study's processes."""
    faces = ("features", "probing", "evaluation", "tasks", "training", "intervention", "report")
    code = f"import sys, {', '.join(f'saev.{face}' for face in faces)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"sklearn", "pandas", "lightning", "timm", "torchvision"} & set(loaded.split())
