"""A study small enough for tests: the embedded photographs through a tiny ViT with random weights."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TINY = [
    "backbone=timm", "backbone.model=test_vit", "backbone.pretrained=false", "backbone.img_size=64", "data.size=64",
    "data.splits.train.n=48", "data.splits.val.n=12",
]  # fmt: skip


def run(cwd: Path, stage: str, *overrides: str, **options) -> subprocess.CompletedProcess:
    """Run a stage as its users do, in a process of its own in the directory `cwd`."""
    return subprocess.run(command(stage, *overrides), cwd=cwd, env=environment(), capture_output=True, text=True, **options)


def command(stage: str, *overrides: str) -> list[str]:
    return [sys.executable, "-m", f"pipeline.{stage}", *overrides]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
