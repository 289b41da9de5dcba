"""A full disk ends every stage in one line, loses nothing, and spoils nothing for the run after it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.study import STAGES, digest, here, run, write_grid

PARTS = {**STAGES, "report": []}
TOPS = ("data", "results", "report")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("finished")
    write_grid(cwd)
    for stage, overrides in PARTS.items():
        here(cwd, stage, *overrides)
    return cwd


@pytest.fixture
def disk(tmp_path):
    """A directory on a file system of its own. Needs the right to mount, which CI's root has."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", str(path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(disk: Path, but: int) -> Path:
    """Leave so many bytes free."""
    filler = disk / "filler"
    with open(filler, "wb") as file:
        free = shutil.disk_usage(disk).free
        file.write(bytes(max(0, free - but)))
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("stage", PARTS)
def test_a_full_disk_ends_a_stage_in_one_line(stage, finished, disk):
    expected = digest(finished, *TOPS)
    for top in (*TOPS, "conf"):
        shutil.copytree(finished / top, disk / top)
    for room in (0, 16 * 2**10):
        filler = fill(disk, room)
        result = run(disk, stage, *PARTS[stage])
        lines = [line for line in result.stderr.splitlines() if not line.startswith(f"{stage}:")]
        if room and result.returncode == 0:
            assert stage in ("summary", "head", "evaluate", "probe")  # little more than metrics.json
        else:
            assert result.returncode == 1 and len(lines) == 1, result.stderr
            assert re.fullmatch(r"error: \S+: No space left on device", lines[0])
        assert digest(disk, *TOPS) == expected
        assert not [*disk.glob("data/**/*.partial"), *disk.glob("results/**/*.partial")]
        filler.unlink()
    assert run(disk, stage, *PARTS[stage]).returncode == 0
    assert digest(disk, *TOPS) == expected
    assert not any(path.is_file() for path in disk.glob(".scratch/**/*"))
