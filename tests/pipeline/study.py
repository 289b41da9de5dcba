"""A study small enough for tests: the embedded photographs through a tiny ViT with random weights."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TINY = [
    "backbone=timm",
    "backbone.model=test_vit",
    "backbone.pretrained=false",
    "backbone.img_size=64",
    "data.size=64",
    "data.splits.train.n=48",
    "data.splits.val.n=12",
]


def beginnings(finished: Path, cwd: Path) -> Path:
    """A place to train in, with the activations and the head of a finished study."""
    (cwd / "data").mkdir(parents=True)
    for made in ("acts", "head"):
        (cwd / "data" / made).symlink_to(finished / "data" / made)
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


def command(stage: str, *overrides: str) -> list[str]:
    return [sys.executable, "-m", f"pipeline.{stage}", *overrides]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
