"""The pages themselves, and what they are told of the study as a whole."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from saev.atlas.script import write_script

FILES = {
    r"index\.html": "<title>Atlas",
    r"(index\.js|style\.css)": None,
    r"(js|vendor)/[^/]+\.(js|css|txt)": None,
    r"d/[^/]+/[^/]+\.js": None,
    r"s/[^/]+/\d+\.webp": None,
}
"""Its files, as `saev.outputs` knows them."""


def write_site(out: Path, index: dict) -> None:
    """Put the pages into the folder, with `index.js`: what they must know before a cell is opened."""
    with as_file(files("saev.atlas") / "site") as site:
        shutil.copytree(site, out, dirs_exist_ok=True, copy_function=shutil.copyfile)
    write_script(out, "index", index)
