"""Whatever an option is given, a stage works, or says in one line what is wrong and has changed nothing."""

import random
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.fuzz import BASES, LATER, Case, attempt, cases, fault, later_cases
from tests.pipeline.study import OF_ALL, STAGES, here, write_grid
from tests.tally import tally

ALL = list(cases())
FEW, MANY = 24, 60
"""By default; of each stage, when there is time."""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A finished study, images of one's own, and a folder and a file that are something else."""
    cwd = tmp_path_factory.mktemp("study")
    write_grid(cwd)
    for stage in STAGES:
        here(cwd, stage, *BASES[stage])
    for stage in OF_ALL:
        here(cwd, stage)
    (cwd / "a_folder").mkdir()
    (cwd / "a_file").write_text("")
    rng = np.random.default_rng(0)
    (cwd / "data/shards").mkdir()
    (cwd / "data/shards/classes.txt").write_text("a\nb\n")
    for split in ("train", "val"):
        with tarfile.open(cwd / f"data/shards/{split}-0.tar", "w") as tar:
            for name in ("a", "b"):
                file = cwd / "data/images" / split / name / "0.png"
                file.parent.mkdir(parents=True)
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file)
                tar.add(file, f"{name}.png")
    return cwd


def state(cwd: Path) -> dict[Path, tuple[int, int] | None]:
    """When each file was written, and its size; a folder, in which a stage may begin, is there or not."""
    found = (path for path in cwd.rglob("*") if ".scratch" not in path.parts)
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None for path in found
    }


def faults(study: Path, cwd: Path, tried: list[Case]) -> tuple[list[str], Counter]:
    """What was wrong, case by case, and how they ended; each begins where the study is whole."""
    found, before, outcomes = [], None, Counter()
    for case in tried:
        if before is None:
            shutil.rmtree(cwd, ignore_errors=True)
            shutil.copytree(study, cwd)
            before = state(cwd)
        ended = attempt(cwd, case.stage, case.overrides)
        wrong, changed = fault(case, ended), state(cwd) != before
        if ended.code != 0 and changed:
            wrong = f"{wrong or ''} changed files, and refused: {ended.code}"
        if changed:
            before = None
        outcomes["wrong" if wrong else "ran" if ended.code == 0 else "refused in one line"] += 1
        if wrong:
            found.append(f"{case.stage} {' '.join(case.overrides)}: {wrong}")
    return found, outcomes


def test_a_sample_of_overrides_that_nobody_means(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wrong, _ = faults(study, tmp_path / "run", random.Random(0).sample(ALL, FEW))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("stage", BASES)
def test_many_overrides_that_nobody_means(study, tmp_path, monkeypatch, stage):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    of_stage = [case for case in ALL if case.stage == stage]
    wrong, outcomes = faults(
        study, tmp_path / "run", random.Random(1).sample(of_stage, min(MANY, len(of_stage)))
    )
    tally(f"a hostile option, {stage}", outcomes)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("stage", LATER)
def test_other_kinds_of_values_in_the_newer_sections(study, tmp_path, stage):
    wrong, outcomes = faults(study, tmp_path / "run", [case for case in later_cases() if case.stage == stage])
    tally(f"an odd value, {stage}", outcomes)
    assert not wrong, "\n".join(wrong)


def test_the_cases_cover_every_stage_and_are_many():
    assert len(list(later_cases())) >= 150
    assert len(ALL) >= 400 and {case.stage for case in ALL} == set(BASES)
