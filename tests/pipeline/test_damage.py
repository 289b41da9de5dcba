"""Every file that a stage reads, damaged in every way that disks know: a line, never other numbers."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.study import STAGES, TOPS, digest, finish, here
from tests.tally import tally

EDITING = ("causes", "counterfactual", "intervene", "hypotheses")
READERS = {
    "data/acts": (
        "head",
        "train",
        "floors",
        "features",
        "evaluate",
        "probe",
        "contrast",
        "causes",
        "counterfactual",
        "intervene",
        "hypotheses",
        "atlas",
    ),
    "data/head": ("evaluate", "counterfactual", "intervene", "hypotheses"),
    "data/sae": ("floors", "features", "evaluate", "probe", "contrast", *EDITING, "atlas"),
    "data/floors": ("evaluate", "probe", "intervene", "atlas"),
    "data/codes": ("probe", "contrast", *EDITING, "atlas"),
    "results": ("intervene", "summary", "verdicts", "report", "atlas"),
    "data/matches": ("causes", "counterfactual", "hypotheses", "compare"),
}
"""Which stages read what lies where."""
CASES = 80
"""Of each."""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return finish(tmp_path_factory.mktemp("whole"))


def ways(content: bytes, rng: np.random.Generator):
    """(name, damaged content) of a file."""
    place = int(rng.integers(len(content)))
    yield "flipped", content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    yield "cut", content[: len(content) // 2]
    yield "empty", b""
    yield "text", b"not what it was\n" * 9
    yield "zeros", bytes(len(content))
    yield "longer", content + b"\x00"


def outcome(cwd: Path, stage: str, whole: dict[str, str]) -> str:
    """What a stage makes of the study as it is."""
    try:
        here(cwd, stage, *STAGES.get(stage, ()))
    except SystemExit as error:
        line = str(error)
        return "one line" if line.startswith("error: ") and "\n" not in line else f"odd: {line}"
    except BaseException as error:
        return f"traceback: {type(error).__name__}: {error}"[:300]
    return "same bytes" if digest(cwd, *TOPS) == whole else "other bytes"


@pytest.mark.slow
@pytest.mark.parametrize("folder", READERS)
def test_no_damage_is_a_traceback_or_other_numbers(study, folder, tmp_path):
    """A seeded sample of (file, damage, stage). Numbers in results carry no checksum, DVC has theirs: of
    those only what cannot be read must be told."""
    rng, counts, wrong = np.random.default_rng(0), Counter(), []
    files = [file for file in sorted((study / folder).rglob("*")) if file.is_file()]
    files = [file for file in files if file.suffix not in (".png", ".svg")]
    cases = [
        (file.relative_to(study), *way, stage)
        for file in files
        for way in ways(file.read_bytes(), rng)
        for stage in READERS[folder]
    ]
    for case in rng.permutation(len(cases))[:CASES]:
        file, name, content, stage = cases[case]
        cwd = tmp_path / "damaged"
        shutil.copytree(study, cwd)
        (cwd / file).write_bytes(content)
        found = outcome(cwd, stage, digest(cwd, *TOPS))
        counts[found.partition(":")[0]] += 1
        fine = (
            ("one line", "same bytes", "other bytes") if folder == "results" else ("one line", "same bytes")
        )
        if found not in fine:
            wrong.append(f"{stage} on {file} {name}: {found}")
        shutil.rmtree(cwd)
    tally(f"a damaged file in {folder}/", counts)
    assert not wrong, "\n".join(wrong)
