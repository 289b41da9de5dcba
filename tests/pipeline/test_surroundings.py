"""What surrounds a study on somebody's machine changes no byte of it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.fuzz import BASES
from tests.pipeline.study import OF_ALL, STAGES, command, digest, environment, write_grid
from tests.tally import tally

MATPLOTLIBRC = """
font.family: serif
font.size: 31
savefig.facecolor: red
savefig.dpi: 37
savefig.bbox: tight
lines.linewidth: 9
axes.grid: False
text.parse_math: True
axes.formatter.use_locale: True
axes.unicode_minus: False
image.cmap: jet
image.interpolation: bicubic
"""


def study(cwd: Path, umask: int = 0o022, **surroundings: str) -> dict[str, str]:
    """Run all stages with these environment variables, and return the hash of every file."""
    cwd.mkdir(parents=True)
    write_grid(cwd)
    for stage in (*STAGES, *OF_ALL):
        result = subprocess.run(
            command(stage, *BASES[stage]),
            cwd=cwd,
            env={**environment(), **surroundings},
            umask=umask,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
    return digest(cwd, "data", "results", "report", "atlas")


@pytest.mark.slow
def test_settings_locale_mask_hash_seed_zone_and_depth_change_nothing(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "matplotlibrc").write_text(MATPLOTLIBRC)
    first = study(tmp_path / "a", PYTHONHASHSEED="0", TZ="UTC", LC_ALL="C.UTF-8")
    other = study(
        tmp_path / "deeper" / "with a space" / "b",
        umask=0o077,
        MATPLOTLIBRC=str(theirs),
        MPLCONFIGDIR=str(theirs),
        PYTHONHASHSEED="12345",
        TZ="Asia/Kathmandu",
        LC_ALL="C",
        LANG="tr_TR.UTF-8",
        PYTHONUTF8="0",
        COLUMNS="33",
        FORCE_COLOR="1",
    )
    assert other == first and len(first) > 40
    tally("another matplotlibrc, locale, umask, hash seed, time zone, folder", {"files the same": len(first)})


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing(tmp_path):
    """One after the other on the same cores; sums are taken in another order only where a product is divided
    among threads, which these widths are too small for: see docs/reliability.md."""
    threads = ({name: n for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} for n in ("1", "2"))
    one, two = (study(tmp_path / variables["OMP_NUM_THREADS"], **variables) for variables in threads)
    assert one == two
    tally("another number of threads, at the widths of the tests", {"files the same": len(one)})


def test_a_figure_is_the_same_under_anybodys_settings(tmp_path):
    """In processes of their own, where matplotlib reads them before anything of ours is imported."""
    draw = (
        "import sys, matplotlib.pyplot; from saev.report import density_histogram, save;"
        "save(density_histogram({'a': [0.1, 0.2, 0.0], '$x_$': [0.5, 0.5, 1e-4]}), sys.argv[1])"
    )
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    theirs = {"MATPLOTLIBRC": str(tmp_path), "LC_ALL": "C", "PYTHONHASHSEED": "7", "MPLBACKEND": "svg"}
    for name, variables in (("a", {}), ("b", theirs)):
        subprocess.run(
            [*command("x")[:1], "-c", draw, str(tmp_path / f"{name}.png")],
            env={**environment(), **variables},
            check=True,
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert os.path.getsize(tmp_path / "a.png") > 1000
