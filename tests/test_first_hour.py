"""What a newcomer does first: make in any folder, stages by their path, the package from beside its clone."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENTRIES = sorted(
    file.stem for file in (ROOT / "pipeline").glob("*.py") if '__name__ == "__main__"' in file.read_text()
)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_point_run_by_its_path_tells_what_it_does(name, tmp_path):
    words = [sys.executable, ROOT / "pipeline" / f"{name}.py", "--help"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith(import_module(f"pipeline.{name}").__doc__.splitlines()[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "clone"])
def test_make_study_works_in_a_folder_with_spaces_and_in_an_unpacked_archive(archive, tmp_path):
    folder = tmp_path / "my project" / "saev"
    (folder / ".venv/bin").mkdir(parents=True)
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, folder)
    called = folder / "called"
    dvc = folder / ".venv/bin/dvc"
    dvc.write_text('#!/bin/sh\necho "$(command -v dvc) $*" >> called\n')
    dvc.chmod(0o755)
    (folder / ".venv/.ready").touch()
    if not archive:
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    apart = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    result = subprocess.run(["make", "study"], cwd=folder, env=apart, capture_output=True, text=True)
    assert result.returncode == 0 and str(folder / "report/index.html") in result.stdout, result.stderr
    *configured, repro = called.read_text().splitlines()
    assert repro == f"{dvc} repro"
    assert [line.endswith("config --local core.no_scm true") for line in configured] == [True] * archive


def test_a_notebook_above_the_clone_imports_the_package(tmp_path):
    (tmp_path / "saev" / "saev").mkdir(parents=True)  # the clone, as Python sees it from there
    script = "import saev; print(saev.__version__)"
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=plain, capture_output=True, text=True
    )
    assert result.stdout.strip() == import_module("saev").__version__, result.stderr
