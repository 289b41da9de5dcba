"""A full disk ends every stage in one line, loses nothing, and spoils nothing for the run after it."""

import re
import shutil
from pathlib import Path

import pytest

from tests.pipeline.study import EVERY, TOPS, digest, disk, run
from tests.tally import tally

LITTLE = ("summary", "head", "evaluate", "probe", "compare", "hypotheses")
"""Stages that leave little more than a JSON file."""


@pytest.fixture(name="disk")
def own_disk(tmp_path):
    with disk(tmp_path / "disk", "64M") as path:
        yield path


def fill(disk: Path, but: int) -> Path:
    """Leave so many bytes free."""
    filler = disk / "filler"
    with open(filler, "wb") as file:
        free = shutil.disk_usage(disk).free
        file.write(bytes(max(0, free - but)))
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("stage", EVERY)
def test_a_full_disk_ends_a_stage_in_one_line(stage, finished, disk):
    expected = digest(finished, *TOPS)
    for top in (*TOPS, "conf"):
        shutil.copytree(finished / top, disk / top)
    for room in (0, 16 * 2**10):
        filler = fill(disk, room)
        result = run(disk, stage, *EVERY[stage])
        lines = [line for line in result.stderr.splitlines() if not line.startswith(f"{stage}:")]
        if room and result.returncode == 0:
            assert stage in LITTLE
        else:
            assert result.returncode == 1 and len(lines) == 1, result.stderr
            assert re.fullmatch(r"error: \S+: No space left on device", lines[0])
        assert digest(disk, *TOPS) == expected
        assert not [*disk.glob("data/**/*.partial"), *disk.glob("results/**/*.partial")]
        filler.unlink()
    assert run(disk, stage, *EVERY[stage]).returncode == 0
    assert digest(disk, *TOPS) == expected
    assert not any(path.is_file() for path in disk.glob(".scratch/**/*"))
    tally(f"a full disk under {stage}", {"one line, nothing lost, and the same bytes afterwards": 1})
