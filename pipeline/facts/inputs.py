"""What a configuration names: images and weights, known by their state, and notes, by their words."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path


def state(names: Iterable[str]) -> str | None:
    """16 hex digits over path, size and time of change of all files that `names` lead to, paths and globs.

    None if nothing is. Hidden files are left out, links followed, each folder entered once.
    A folder that holds the working directory is no place for images: it holds the results, too.
    """
    here, lines, entered = Path.cwd(), hashlib.sha256(), set()
    nothing = lines.digest()
    for name in sorted(set(names)):
        for path in [name] if os.path.exists(name) else sorted(glob(name)):
            if not here.is_relative_to(Path(path).resolve()):
                for line in listing(path, entered):
                    lines.update(line)
    return None if lines.digest() == nothing else lines.hexdigest()[:16]


def contents(folder: str) -> str:
    """16 hex digits over the bytes of the YAML files in a folder; their times differ between clones."""
    words = hashlib.sha256()
    for file in sorted(Path(folder).glob("*.yaml")):
        words.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return words.hexdigest()[:16]


def listing(path: str, entered: set[tuple[int, int]]) -> Iterator[bytes]:
    """A line for each file at and below `path`, in order."""
    try:
        found = os.stat(path)
    except OSError:  # a link that leads nowhere
        yield os.fsencode(path)
        return
    if not stat.S_ISDIR(found.st_mode):
        yield b"%s %d %d\n" % (os.fsencode(path), found.st_size, found.st_mtime_ns)
    elif (found.st_dev, found.st_ino) not in entered:
        entered.add((found.st_dev, found.st_ino))
        for entry in sorted(os.listdir(path)):
            if entry[0] != ".":
                yield from listing(os.path.join(path, entry), entered)
