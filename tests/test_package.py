"""The shape of the code: what imports what, and how soon."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    "data",
    "backbones",
    "activations",
    "sae",
    "interchange",
    "training",
    "features",
    "probing",
    "intervention",
    "report",
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


def test_import_is_light():
    code = "import sys, time; t = time.perf_counter(); import saev; print(time.perf_counter() - t, 'torch' in sys.modules)"
    elapsed, torch_loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(elapsed) < 0.3 and torch_loaded == "False"
