"""Every command of README and docs/ names stages, files and keys that there are."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from pipeline.keys import check_configuration

ROOT = Path(__file__).parents[1]
STAGES = {file.stem for file in (ROOT / "conf").glob("*.yaml")} - {"paths", "study"}
OWN = {"semprobe", "birds", "clip_b16", "arrays", "torchvision_vitb32", "square_root", "stones", "census"}
"""Names that a page lets its reader make, or that stand for a reader's own."""


def commands() -> list[tuple[str, str, str]]:
    """(page, stage, what follows it) of each."""
    found = []
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = file.read_text().replace("\\\n", " ")
        for stage, rest in re.findall(r"-m pipeline\.(\w+)((?: +(?:'[^'\n]*'|[^\s`'#;|,)]+))*)", text):
            found.append((file.relative_to(ROOT).as_posix(), stage, rest.strip()))
    return found


@pytest.mark.parametrize(("page", "stage", "rest"), sorted(set(commands())))
def test_a_command_composes(page, stage, rest):
    assert (ROOT / f"pipeline/{stage}.py").is_file() or (ROOT / f"pipeline/{stage}").is_dir() or stage in OWN
    words = [word for word in shlex.split(rest.rstrip(".:")) if "=" in word and "<" not in word]
    words = [word for word in words if not {*re.split(r"[=,\[\]]", word)} & OWN]
    if stage in STAGES and not any("{" in word and "}" not in word for word in words):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            check_configuration(compose(stage, words), stage)


def test_there_are_commands():
    assert len({stage for _, stage, _ in commands()}) > 8
