"""Pages as programs: their blocks done one after another, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", re.M | re.S)


class Block(NamedTuple):
    language: str
    title: str | None
    """The file that it is, or of which it is a change; None: it is to be run."""
    text: str


def blocks(page: str) -> list[Block]:
    """Those of a page of docs/, in order."""
    found = BLOCK.findall((DOCS / page).read_text())
    return [Block(language, title or None, text) for _, language, title, text in found]


def written(block: Block, folder: Path) -> None:
    """Write the file that a block is, or make the change that it shows; `(new)` says that it replaces one."""
    name, _, replaces = block.title.partition(" ")
    path = folder / name
    if block.language != "diff":
        assert path.exists() == bool(replaces), f"{path}: is there already, or is not"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] != "+")
    new = "".join(line[1:] for line in lines if line[0] != "-")
    assert path.read_text().count(old) == 1, f"{path}: {old!r} is not there once"
    path.write_text(path.read_text().replace(old, new))


def run(block: Block, folder: Path, code: Path | None = None) -> str:
    """What a block that is to be run says; it must succeed.

    Args:
        code: whose packages it imports; None: those in the folder itself.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(code or folder)}
    command = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}[block.language]
    words = [*command, block.text]
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f"{block.text}\n{result.stdout}\n{result.stderr}"
    return result.stdout + result.stderr


def followed(page: str, folder: Path) -> str:
    """Do all that a page says, and return what its commands say."""
    said = []
    for block in blocks(page):
        if block.title:
            written(block, folder)
        elif block.language in ("sh", "python"):
            said.append(run(block, folder))
    return "\n".join(said)
