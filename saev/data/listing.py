"""What a data set has on disk: which files are images, whether one has changed, lists of names."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from saev.errors import SaevError

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)

ABSENT = (-1, -1)
"""The stamp of a file that is not there: it keeps its place, and reading it says so."""


class File(NamedTuple):
    name: str
    """Path below the directory that was searched, with `/`."""
    stamp: tuple[int, int]
    """Size in bytes, and time of the last change in ns, which tells one of the same size."""


def is_image(name: str) -> bool:
    """Whether a file of that name counts as an image: by its extension, in capitals or not."""
    return name[name.rfind(".") :].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether it is what systems leave behind: `._1.jpg`, `.ipynb_checkpoints`, `__MACOSX`."""
    return name.startswith(".") or name == "__MACOSX"


def files_below(top: Path) -> Iterator[File]:
    """The regular files at any depth, in no order but that those of a directory precede those below it.

    Hidden files and directories are left out. Links are followed, save to a directory that the link itself
    lies in. A link to nothing counts as a file, since an image was meant to be there. One `stat` per file.

    Raises:
        SaevError: a directory cannot be listed.
    """
    todo: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (_identity(os.stat(top)),))]
    while todo:
        folder, above = todo.pop()
        for entry in _listed(top / folder):
            if is_hidden(entry.name):
                continue
            name = folder + entry.name
            try:
                status = entry.stat()
            except OSError:
                yield File(name, ABSENT)
                continue
            if stat.S_ISREG(status.st_mode):
                yield File(name, (status.st_size, status.st_mtime_ns))
            elif stat.S_ISDIR(status.st_mode) and _identity(status) not in above:
                todo.append((f"{name}/", (*above, _identity(status))))


def stamp(path: str | Path) -> tuple[int, int]:
    """Size and time of the last change of a file; ABSENT if there is none.

    Raises:
        SaevError: it is no regular file, or cannot be looked at.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise SaevError(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        raise SaevError(f"{path}: is no regular file")
    return status.st_size, status.st_mtime_ns


def read_lines(path: str | Path, what: str) -> list[str]:
    """The lines of a text file as any system writes it: UTF-8 with or without a byte order mark.

    Blank lines at the end are dropped.

    Raises:
        SaevError: there is no such file (then `what` says what it should hold), or it is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SaevError(f"{path}: no such file; {what}") from None
    except OSError as error:
        raise SaevError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at {error.start}"
        raise SaevError(f"{path}: is not UTF-8 text ({byte}); save it as UTF-8") from None
    # Not splitlines(), which also splits at characters that a name may hold.
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _listed(directory: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError as error:
        raise SaevError(f"{directory}: cannot be listed ({error.strerror})") from None
