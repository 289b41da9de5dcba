"""Folders in which one run at a time works, and what survives it if it dies."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saev.errors import SaevError
from saev.files import fingerprint
from saev.machine.progress import say

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "lock"
"""The file in a folder that a run holds while it is at work there."""
GONE = "gone."
"""What the names of things begin with that are being deleted."""


def scratch_place(stage: str, config: object) -> Path:
    """Where unfinished work of `stage` under `config` lies: `.scratch/<stage>/<fingerprint>`."""
    return Path(".scratch", stage, fingerprint(config))


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Be the only run at work in `folder`, which is made if it is not there and vanishes in the end; after an
    error what lies in it stays, for the next run to go on from.

    Raises:
        SaevError: another run is at work there.
    """
    with locked(folder):
        try:
            yield
        except BaseException:
            if [file.name for file in folder.iterdir()] == [LOCK]:
                remove(folder)
            raise
        remove(folder)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which is made if it is not there; yield whether a run has been there before,
    and died. Raises SaevError if another is at work there.

    A record lock: it ends with the process, is not inherited by the workers that load images, which outlive a
    killed run by seconds, and holds on NFS, where `flock` asks for more.
    """
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file, before = open(folder / LOCK, "xb"), False
            except FileExistsError:
                file, before = open(folder / LOCK, "r+b"), True
        except (FileNotFoundError, FileExistsError):
            if os.path.lexists(folder) and not folder.is_dir():
                raise
            continue  # another run has just ended, and removed the folder
        with file:
            _acquire(file.fileno(), folder)
            try:
                same = os.path.samestat(os.stat(folder / LOCK), os.fstat(file.fileno()))
            except FileNotFoundError:
                same = False
            if same:
                yield before
                return


def _acquire(descriptor: int, folder: Path) -> None:
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise SaevError(f"another run is at work in {folder}; wait for it, or stop it") from None
        say(f"{folder}: cannot be locked ({error.strerror}); see to it that no other run works there")


def clear(folder: Path) -> None:
    """Delete all in a folder but its lock. Each thing loses its name first, so that whoever comes after a
    kill does not take half of it for the whole."""
    there = [path for path in folder.iterdir() if path.name != LOCK]
    for path in sorted(there, key=lambda path: not path.name.startswith(GONE)):  # what others left first
        gone = path if path.name.startswith(GONE) else path.rename(folder / f"{GONE}{path.name}")
        shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink()


def remove(folder: Path) -> None:
    """Delete the folder whose lock we hold, the lock last: until then it is ours alone."""
    clear(folder)
    leave(folder)


def leave(folder: Path) -> None:
    """Give up the lock of a folder, which goes with it unless something else lies there."""
    (folder / LOCK).unlink()
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):  # another run has begun there
            raise
