"""The two commands that write configurations, given what nobody means: they do it, or say in one line why not
and have changed nothing."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from pipeline import new_study, sweep
from pipeline.stage import one_line_errors
from tests.pipeline.fuzz import VALUES
from tests.pipeline.study import ROOT
from tests.tally import tally

SWEEPS = [
    *(
        f"sae.{key}={value}"
        for key in ("k", "d_sae", "prefixes", "lr", "_target_", "tokens")
        for value in VALUES
    ),
    *(f"sae={value}" for value in VALUES),
    *(
        "sae=topk,nonsense",
        "sae=topk,topk",
        "sae=../sae/topk",
        "sae.k=4,0",
        "sae.k=4,4",
        "sae.kk=1,2",
        "sae.k=",
    ),
    *(
        "+sae.k=1",
        "~sae.k",
        "~sae",
        "sae.k",
        "sae",
        "",
        "=",
        "sae.k=[1",
        "sae.k=range(1,3)",
        "sae.k=choice()",
    ),
    *("sae.name=mine", "sae.lr=1e-3,2e-3", "sae.k=glob(*)", "sae.prefixes=[8],[16]", "data=cub", "seed=1,2"),
]
STUDIES = [
    "",
    ".",
    "..",
    "/",
    "a_folder",
    "a_file",
    "a_file/new",
    "a_folder/new",
    "no/such/folder",
    "\0",
    "x" * 300,
]


@pytest.fixture
def birds(tmp_path) -> Path:
    """A place with the configuration of a study, a folder and a file."""
    folder = tmp_path / "birds"
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "a_folder").mkdir()
    (folder / "a_file").write_text("")
    return folder


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.parent.rglob("*")}


def refused(folder: Path, command: str, call: Callable[[list[str]], object], words: list[str]) -> str | None:
    """The line of the refusal; None if it ran. It has changed nothing where it refused."""
    before = state(folder)
    try:
        with chdir(folder), one_line_errors(command):
            call(words)
    except SystemExit as end:
        line = str(end.code)
        assert line.startswith("error: ") and len(line.splitlines()) == 1, (words, line)
        assert state(folder) == before, words
        return line
    return None


@pytest.fixture
def no_dvc(monkeypatch) -> list[list[str]]:
    """What was to be run, which is not."""
    ran = []

    def run(command: list[str], **options) -> subprocess.CompletedProcess:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_a_sweep_over_what_nobody_means(birds, no_dvc):
    ended = {"ran": 0, "refused in one line": 0}
    for word in SWEEPS:
        line = refused(birds, "sweep", sweep.main, ["-m", word])
        ended["refused in one line" if line else "ran"] += 1
        for file in (birds / "conf/sae").glob("*-*.yaml"):
            file.unlink()
        shutil.copy(ROOT / "conf/study.yaml", birds / "conf")
    assert ended["ran"] == len(no_dvc) and min(ended.values()) > 4
    tally("a hostile sweep", ended)


def test_a_new_study_in_a_place_that_is_none(birds):
    ended = {"ran": 0, "refused in one line": 0}
    for words in ([], ["a", "b"], *([word] for word in STUDIES)):
        made = refused(birds, "new_study", new_study.main, words) is None
        ended["ran" if made else "refused in one line"] += 1
        if made:
            assert (birds / words[0] / "conf/study.yaml").is_file() and (
                birds / words[0] / "dvc.yaml"
            ).is_file()
            shutil.rmtree(birds / words[0])
    assert ended["ran"] == 2
    tally("a hostile place of a new study", ended)
