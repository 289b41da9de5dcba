"""Every stage, killed with -9 before its n-th file operation: each output is the old or the new one, whole,
and the same command ends in the bytes of an undisturbed run."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.killing import changes, evenly, killed_before
from tests.pipeline.study import CELL, OF_ALL, STAGES, STORE, TOPS, digest, here, write_grid
from tests.tally import tally

OUTPUTS = {
    "extract": [f"data/acts/{STORE}/train", f"data/acts/{STORE}/val", f"results/extract/{STORE}"],
    "head": [f"data/head/{STORE}", f"results/head/{STORE}"],
    "train": [f"data/sae/{CELL}", f"results/train/{CELL}"],
    "floors": [f"data/floors/{CELL}"],
    "features": [f"data/codes/{CELL}"],
    "evaluate": [f"results/evaluate/{CELL}"],
    "probe": [f"results/probe/{CELL}", f"data/matches/{CELL}"],
    "contrast": [f"results/contrast/{CELL}", f"data/contrast/{CELL}"],
    "causes": [f"results/causes/{CELL}"],
    "counterfactual": [f"results/counterfactual/{CELL}"],
    "intervene": [f"results/intervene/{CELL}"],
    "hypotheses": [f"results/hypotheses/{CELL}"],
    "summary": [f"results/{CELL}.json"],
    "compare": ["results/compare"],
    "verdicts": ["results/verdicts"],
    "report": ["report"],
    "atlas": ["atlas"],
}
MOST = 5
"""So many of a stage's file operations are tried, spread evenly: extract has 900, most of them alike."""
ELSEWHERE = {"extract": ".scratch", "train": ".scratch", "hypotheses": "results", "atlas": "atlas"}
"""What is put on another disk, behind a link: where work waits, the ledger and all results, an output."""
SMALL = {
    "extract": ["data.splits.train.n=12", "data.splits.val.n=6", "extract.chunk=4", "machine.workers=0"],
    "train": ["sae.d_sae=64", "trainer.steps=20", "trainer.batch_size=32", "trainer.checkpoint_every=8"],
    "floors": ["trainer.steps=20", "trainer.batch_size=32", "floors=[frozen-soft]"],
    "evaluate": ["evaluate.fidelity_images=4"],
    "causes": ["causes.latents=1", "causes.pairs=0"],
    "contrast": ["contrast.permutations=19"],
    "probe": ["probe.sparse=[]", "probe.exemplars=1", "probe.strongest=1", "probe.permutations=19"],
    "counterfactual": ["counterfactual.pairs=1"],
    "intervene": ["intervene.images=2", "maps.classes=1"],
}
SEEDED = (
    "head",
    "train",
    "floors",
    "features",
    "probe",
    "evaluate",
    "contrast",
    "causes",
    "counterfactual",
    "intervene",
)


def arguments(stage: str, seed: int) -> list[str]:
    if stage in OF_ALL:
        return []
    small = [*SMALL["extract"][:2], *SMALL.get(stage, [])]
    purity = ["extract.purity=0.5"] if seed and stage == "extract" else []
    seeded = [f"seed={seed}"] if stage in SEEDED else purity
    return [*STAGES[stage], *small, *seeded]


def study(cwd: Path, seed: int) -> Path:
    write_grid(cwd)
    for stage in OUTPUTS:
        here(cwd, stage, *arguments(stage, seed))
    return cwd


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> Path:
    """A whole study."""
    return study(tmp_path_factory.mktemp("new"), 0)


@pytest.fixture(scope="module")
def studies(new, tmp_path_factory) -> tuple[Path, Path]:
    """The same study with another seed, and it."""
    return study(tmp_path_factory.mktemp("old"), 1), new


def before(stage: str, studies: tuple[Path, Path], cwd: Path) -> Path:
    """A study in which the stage is to be run again, over its outputs of another seed."""
    old, new = studies
    shutil.copytree(new, cwd)
    for output in OUTPUTS[stage]:
        if (cwd / output).is_dir():
            shutil.rmtree(cwd / output)
            shutil.copytree(old / output, cwd / output)
        else:
            shutil.copyfile(old / output, cwd / output)
    return cwd


def state(cwd: Path, output: str) -> dict[str, str]:
    """The hash of every file of an output, by its path there."""
    return {
        name.removeprefix(output): found
        for name, found in digest(cwd, str(Path(output).parent)).items()
        if name == output or name.startswith(f"{output}/")
    }


def kill_and_run_again(stage: str, n: int, studies: tuple[Path, Path], cwd: Path) -> bool:
    """Kill the stage before its n-th file operation, look, and run it again; whether there was an n-th."""
    old, new = studies
    work = lambda: here(cwd, stage, *arguments(stage, 0))  # noqa: E731
    killed = killed_before(n, work, cwd)
    for output in OUTPUTS[stage]:
        assert state(cwd, output) in (state(old, output), state(new, output)), f"{output}, {n}"
    assert not killed_before(None, work)
    assert digest(cwd, *TOPS) == digest(new, *TOPS), n
    assert not list(cwd.glob(".scratch/*/*")), n
    return killed


@pytest.mark.slow
@pytest.mark.parametrize("stage", OUTPUTS)
def test_killed_before_its_file_operations(stage, studies, tmp_path):
    cwd = before(stage, studies, tmp_path / "counted")
    total = changes(lambda: here(cwd, stage, *arguments(stage, 0)), cwd)
    assert total > 10
    for n in (tried := evenly(total, MOST)):
        cwd = before(stage, studies, tmp_path / str(n))
        # Threads that write at once make a few folders more or fewer each time: the last may not be there.
        assert kill_and_run_again(stage, n, studies, cwd) or n > 0.9 * total
        shutil.rmtree(cwd)
    tally(
        f"kill -9 before a file operation of {stage}",
        {f"of {total:,} whole, and the same bytes when run again": len(tried)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("stage", ELSEWHERE)
def test_killed_with_a_part_on_another_disk(stage, studies, tmp_path):
    shared, folder = Path("/dev/shm"), ELSEWHERE[stage]
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to write to here")

    def begin(name: str, elsewhere: str) -> Path:
        cwd = before(stage, studies, tmp_path / name)
        (cwd / folder).mkdir(exist_ok=True)
        shutil.move(cwd / folder, Path(elsewhere, "moved"))
        (cwd / folder).symlink_to(Path(elsewhere, "moved"))
        return cwd

    def work(cwd: Path) -> Callable[[], None]:
        return lambda: here(cwd, stage, *arguments(stage, 0))

    with tempfile.TemporaryDirectory(dir=shared) as elsewhere:
        cwd = begin("counted", elsewhere)
        total = changes(work(cwd), cwd, Path(elsewhere))
    for n in (tried := evenly(total, MOST)):
        with tempfile.TemporaryDirectory(dir=shared) as elsewhere:
            cwd = begin(str(n), elsewhere)
            assert killed_before(n, work(cwd), cwd, Path(elsewhere)) or n > 0.9 * total
            assert not killed_before(None, work(cwd))
            assert digest(cwd, *TOPS) == digest(studies[1], *TOPS), n
            assert not list(cwd.glob(".scratch/*/*"))
            assert not [path for top in TOPS for path in (cwd / top).rglob("*.partial")]
        shutil.rmtree(cwd)
    tally(
        f"the same, {folder.removeprefix('.')} on another disk: {stage}",
        {f"of {total:,} the same bytes when run again": len(tried)},
    )


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_stage_deletes_nothing_of_the_users(stage, new, tmp_path):
    """A note beside what the stage wrote: one line, and all is as it was."""
    cwd = Path(shutil.copytree(new, tmp_path / "study"))
    last = cwd / OUTPUTS[stage][-1]
    if stage == "summary":
        last.write_text("notes")
    else:
        (last / "notes.txt").write_text("years of work")
    found = digest(cwd, ".")
    with pytest.raises(SystemExit) as ended:
        here(cwd, stage, *arguments(stage, 0))
    assert str(ended.value).startswith("error: ") and "is not of this program; move it away" in str(
        ended.value
    )
    assert digest(cwd, ".") == found and not list(cwd.rglob("*.partial"))
