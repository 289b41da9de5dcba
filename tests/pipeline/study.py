"""A study small enough for tests: the embedded photographs through a tiny ViT with random weights."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIT = ["backbone=timm", "backbone.model=test_vit", "backbone.pretrained=false", "backbone.img_size=64"]
SCENES = ["data.size=64", "data.splits.train.n=48", "data.splits.val.n=12"]
TINY = [*VIT, *SCENES]
"""For stages that know no layer; the others take LAYER as well."""
LAYER = ["layer=4"]
SAE = ["sae.d_sae=96", "sae.k=8", "sae.prefixes=[16]"]
QUICK = ["trainer.steps=60", "trainer.batch_size=128"]

STORE, CELL = "mosaic-timm", "mosaic-timm-L4-topk"

STAGES = {
    "extract": [*TINY, "layers=[4]"],
    "head": TINY,
    "train": [*TINY, *LAYER, *SAE, *QUICK],
    "floors": [*TINY, *LAYER, *QUICK, "floors=[frozen-decoder,seed-1,random]"],
    "features": [*TINY, *LAYER],
    "evaluate": [*TINY, *LAYER, "evaluate.fidelity_images=12"],
    "probe": [*TINY, *LAYER, "probe.sparse_units=300"],
    "contrast": [*TINY, *LAYER, "contrast.split=train"],
    "causes": [*TINY, *LAYER, "causes.latents=2", "causes.pairs=2"],
    "counterfactual": [*TINY, *LAYER, "counterfactual.pairs=2", "counterfactual.draws=1"],
    "intervene": [*TINY, *LAYER, "intervene.images=6"],
    "hypotheses": [*TINY, *LAYER],
    "summary": [*TINY, *LAYER],
    "atlas": [*TINY, *LAYER, "atlas.permutations=19", "atlas.browse=2", "atlas.exemplars=3"],
}
"""Every stage that is told of a cell, in order; the atlas is of all cells, here of one."""
OF_ALL = ("compare", "verdicts", "report")
"""Then those of all cells together."""
EVERY = STAGES | {stage: [] for stage in OF_ALL}
TOPS = ("data", "results", "report", "atlas")
"""Where they leave what they make."""


HYPOTHESIS = {
    "claim": "The noise latent stands for noise.",
    **{"kind": "exploratory", "cell": CELL, "task": "concepts", "concept": "noise", "selector": "best f1"},
    **{"edit": "set", "place": "class", "strength": -0.5, "control": "random latent", "draws": 2},
    **{"measure": "reproduced", "direction": "up", "smallest": 0.5, "margin": None},
    **{"split": "val", "images": 6, "independent": "images"},
}
"""What tests predict of a study."""


def write_grid(cwd: Path, **changes: list) -> None:
    """The conf/study.yaml that says what a report is of, and a hypothesis."""
    grid = {"data": ["mosaic"], "backbones": ["timm"], "layers": [4], "saes": ["topk"]} | changes
    (cwd / "conf/hypothesis").mkdir(parents=True, exist_ok=True)
    (cwd / "conf/hypothesis/noise.yaml").write_text(json.dumps(HYPOTHESIS))
    (cwd / "conf" / "study.yaml").write_text(json.dumps({"study": grid}))


def finish(cwd: Path) -> Path:
    """Run every stage, and the report, within this process."""
    write_grid(cwd)
    for stage, overrides in STAGES.items():
        here(cwd, stage, *overrides)
    for stage in OF_ALL:
        here(cwd, stage)
    return cwd


@contextmanager
def disk(path: Path, size: str) -> Iterator[Path]:
    """A new directory on a file system of its own, of so many bytes. Needs the right to mount, which CI's
    root has; the test is skipped where it is missing."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def succeed(cwd: Path, stage: str, *overrides: str, **options) -> str:
    """Run a stage that must succeed, and return what it says."""
    result = run(cwd, stage, *overrides, **options)
    assert result.returncode == 0, f"{stage}: {result.stderr}"
    return result.stderr


def beginnings(finished: Path, cwd: Path) -> Path:
    """A place to train in, with the activations and the task of a finished study."""
    for top in ("data", "results"):
        (cwd / top).mkdir(parents=True)
    for made in ("data/acts", "data/head", "results/extract", "results/head"):
        if (finished / made).exists():
            (cwd / made).symlink_to(finished / made)
    return cwd


def digest(cwd: Path, *folders: str) -> dict[str, str]:
    """The hash of every file in these folders."""
    files = (p for folder in folders for p in sorted((cwd / folder).rglob("*")) if p.is_file())
    return {p.relative_to(cwd).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def run(cwd: Path, stage: str, *overrides: str, **options) -> subprocess.CompletedProcess:
    """Run a stage as its users do, in a process of its own in the directory `cwd`."""
    return subprocess.run(
        command(stage, *overrides), cwd=cwd, env=environment(), capture_output=True, text=True, **options
    )


def here(cwd: Path, stage: str, *overrides: str) -> None:
    """Run a stage within this process, which spares it the seconds that torch takes to load."""
    from hydra import compose, initialize_config_dir

    with chdir(cwd):
        with initialize_config_dir(
            str(ROOT / "conf"), version_base="1.3"
        ):  # conf/study.yaml aside, nobody's own
            cfg = compose(stage, list(overrides))
        import_module(f"pipeline.{stage}").main(cfg)


def command(stage: str, *overrides: str) -> list[str]:
    return [sys.executable, "-m", f"pipeline.{stage}", *overrides]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
