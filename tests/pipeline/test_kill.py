"""Real processes, killed with -9 in the middle, then run again: the outputs must be those of an undisturbed
run."""

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.study import LAYER, TINY, beginnings, command, digest, environment, run
from tests.tally import tally

TRAIN = [
    *TINY,
    *LAYER,
    "sae.d_sae=256",
    "sae.k=8",
    "sae.prefixes=[]",
    "trainer.batch_size=256",
    "trainer.checkpoint_every=20",
]


def kill_when(cwd: Path, stage: str, overrides: list[str], ready) -> None:
    """Start the stage, wait until `ready()`, and kill its whole process group."""
    process = subprocess.Popen(
        command(stage, *overrides),
        cwd=cwd,
        env=environment(),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, f"{stage} ended before it could be killed"
        assert time.monotonic() < deadline, f"{stage} did not get there"
        time.sleep(0.005)
    import os

    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("undisturbed")
    for stage, overrides in (("extract", EXTRACT), ("head", TINY), ("train", [*TRAIN, "trainer.steps=150"])):
        result = run(cwd, stage, *overrides)
        assert result.returncode == 0, result.stderr
    return cwd


EXTRACT = [*TINY, "layers=[4]", "data.splits.train.n=600", "extract.chunk=16"]


def test_killed_stages_continue_to_the_same_bytes(undisturbed, tmp_path):
    # Three times in the middle of extract, of one process and of two that share the work; then two finish it.
    moments = np.random.default_rng(0).integers(1, 30, 3)
    for chunks, processes in zip(np.sort(moments), (2, 1, 2), strict=True):
        overrides = [*EXTRACT, f"machine.devices={processes}", "machine.accelerator=cpu"]
        kill_when(
            tmp_path,
            "extract",
            overrides,
            lambda n=chunks: len(list(tmp_path.glob(".scratch/extract/*/store/acts/4/c/*/0/0"))) >= n,
        )
        assert not (tmp_path / "data/acts/mosaic-timm/train").exists()
    result = run(tmp_path, "extract", *EXTRACT, "machine.devices=2", "machine.accelerator=cpu")
    assert result.returncode == 0, result.stderr
    assert run(tmp_path, "head", *TINY).returncode == 0

    steps = [*TRAIN, "trainer.steps=150"]
    kill_when(tmp_path, "train", steps, lambda: list(tmp_path.glob(".scratch/train/*/last.ckpt")))
    assert not (tmp_path / "data/sae/mosaic-timm-L4-topk").exists()
    result = run(tmp_path, "train", *steps)
    assert result.returncode == 0, result.stderr
    assert digest(tmp_path, "data", "results") == digest(undisturbed, "data", "results")
    assert not any((tmp_path / ".scratch").rglob("*.*"))  # resumable state is gone once it is of no use


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "overrides"), [("extract", EXTRACT), ("train", [*TRAIN, "trainer.steps=150"])]
)
def test_of_two_runs_at_once_one_does_the_work(stage, overrides, undisturbed, tmp_path):
    if stage == "train":
        beginnings(undisturbed, tmp_path)
    both = [
        subprocess.Popen(
            command(stage, *overrides), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = {process.communicate()[1]: process.returncode for process in both}
    (refused,) = (text for text, code in told.items() if code == 1)
    assert sorted(told.values()) == [0, 1]
    assert refused.startswith("error: another run is at work in ") and refused.count("\n") == 1
    top = {"extract": "data/acts", "train": "data/sae"}[stage]
    assert digest(tmp_path, top) == digest(undisturbed, top) and digest(tmp_path, top)
    assert not any((tmp_path / ".scratch").rglob("*.*"))
    tally(f"two runs of {stage} at once", {"one works, one says so in a line": 1})


@pytest.mark.slow
def test_a_dictionary_in_shards_continues_to_the_same_bytes(undisturbed, tmp_path):
    beginnings(undisturbed, tmp_path)
    shards = [
        *TRAIN,
        "trainer.steps=120",
        "machine.devices=2",
        "machine.parallel=latents",
        "machine.accelerator=cpu",
    ]
    assert run(tmp_path, "train", *shards, "sae.name=whole").returncode == 0
    kill_when(
        tmp_path,
        "train",
        [*shards, "sae.name=broken"],
        lambda: list(tmp_path.glob(".scratch/train/*/last.ckpt")),
    )
    other = run(tmp_path, "train", *shards, "sae.name=broken", "machine.devices=1")
    assert (
        other.returncode == 1
        and "had its latents on 2 devices, this one has 1; set machine.devices" in other.stderr
    )
    assert run(tmp_path, "train", *shards, "sae.name=broken").returncode == 0
    whole, broken = (
        tmp_path / f"data/sae/mosaic-timm-L4-{name}/sae.safetensors" for name in ("whole", "broken")
    )
    assert whole.read_bytes() == broken.read_bytes()
    assert not any((tmp_path / ".scratch").rglob("*.*"))
