"""The outputs of a stage: made beside their places, and put there all together once all are whole.

An output `data/sae/x` is made in `data/sae/x.partial/new/x`, so that putting it in place is a rename, which
no full disk can stop half way; where the system can, one that exchanges the old and the new, so that there is
no moment without either. What lies at the output's path is deleted only if every file is one that such an
output has: its name says so and, where the name is a common one, a word in it.

What a killed run leaves is in `x.partial` alone, whose lock tells it from the user's own folders and from
another run's that is at work. The next run clears it, and puts the old output back if it finds it there.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import permutations
from pathlib import Path

from saev.errors import SaevError
from saev.scratch import GONE, LOCK, clear, locked, remove

Files = Mapping[str, str | None]
"""Every file that an output may have: a regular expression of its path there ("" if the output is itself a
file), and a word by which the file is known; None: by its name. An empty file is nobody's loss."""

HEAD = 2**20
"""Bytes of a file in which the word is looked for."""


class Staged:
    """An output in the making.

    Attributes:
        path: where it is made: an empty folder, or no file yet.
    """

    def __init__(self, target: Path, files: Files, place: Path):
        self.target, self.files, self.place = target, files, place
        self.path = place / "new" / target.name
        self._source: Path | None = None

    def take(self, finished: Path) -> None:
        """Let the output be what is finished elsewhere, such as in scratch; there it stays until all outputs
        are put in their places, so that an error before costs nothing."""
        self._source = finished

    def bring(self, undo: ExitStack) -> None:
        """Bring what was taken beside its place: by a rename, or from another disk as a copy."""
        if self._source is None:
            return
        self.path.rmdir()
        try:
            _rename(self._source, self.path, undo)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy(self._source, self.path)

    def put(self, undo: ExitStack) -> None:
        """Put it in its place; what was there goes to where the rest of this is deleted."""
        check_own(self.target, self.files)  # again: hours may have passed
        if not os.path.lexists(self.target):
            _rename(self.path, self.target, undo)
        elif _exchange(self.path, self.target):
            undo.callback(_exchange, self.path, self.target)
        else:
            _rename(self.target, self.place / "old", undo)
            _rename(self.path, self.target, undo)


@contextmanager
def staged(*outputs: tuple[str | Path, Files]) -> Iterator[list[Staged]]:
    """Yield the outputs of a stage (path and files of each), to be made; when all are, they take their
    places. After an error all that was there before is as it was.

    Raises:
        SaevError: at once: a path that is no place for an output, something there that is not such an
            output, or another run that is making one.
        OSError: at once: a folder that cannot be written to. In the end: a full disk.
    """
    targets = [(place_for(path), files) for path, files in outputs]
    for (one, _), (other, _) in permutations(targets, 2):
        if other in (one, *one.parents):
            raise SaevError(f"{one}: is, or lies in, another output of the stage, {other}; name places apart")
    with ExitStack() as stack:
        made = [stack.enter_context(_stage(target, files)) for target, files in targets]
        yield made
        with ExitStack() as undo:
            for output in made:
                output.bring(undo)
            for output in made:
                output.put(undo)
            undo.pop_all()


@contextmanager
def new_directory(path: str | Path, files: Files) -> Iterator[Path]:
    """Yield an empty directory that becomes `path` on success and vanishes on failure; see `staged`."""
    with staged((path, files)) as (output,):
        yield output.path


def place_for(path: str | Path) -> Path:
    """Where an output of this path goes, links followed. Raises SaevError where none may."""
    if not isinstance(path, (str, Path)) or not str(path).strip():
        raise SaevError(f"an output must have a path, got {path!r}")
    try:
        target, here = Path(path).resolve(), Path.cwd()
    except (RuntimeError, ValueError) as error:  # links in a circle; a null character
        raise SaevError(f"{path}: no path for an output: {error}") from None
    kept = {"the working directory": here}
    with suppress(RuntimeError):  # no home
        kept["the home directory"] = Path.home()
    for what, folder in kept.items():
        if target in (folder.resolve(), *folder.resolve().parents):
            raise SaevError(f"{path}: would replace {what}, or a folder that holds it; name a folder within")
    if os.path.ismount(target):
        raise SaevError(f"{path}: a disk is mounted there, which cannot be replaced; name a folder within")
    return target


def check_own(target: Path, files: Files) -> None:
    """Raise SaevError if anything at `target` may not be such an output's."""
    known, unknown = False, None
    for name in _contents(target):
        word = next((word for pattern, word in files.items() if re.fullmatch(pattern, name)), "")
        file = target / name
        if word is None:
            unknown = unknown or name
        elif word and file.is_file() and (not (size := file.stat().st_size) or _bears(file, word)):
            known = known or size > 0
        else:
            raise SaevError(f"{file}: would be deleted, and is not of this program; {_REMEDY}")
    if unknown and not known:
        raise SaevError(f"{target / unknown}: would be deleted, and may not be of this program; {_REMEDY}")


_REMEDY = "move it away, or name another place for the output"


def copy(source: Path, target: Path) -> None:
    """Copy a folder to one that is not there, or is empty. Raises OSError that names the copy."""
    for folder, _, names in os.walk(source):
        to = target / Path(folder).relative_to(source)
        to.mkdir(parents=True, exist_ok=True)
        for name in names:
            try:
                shutil.copyfile(Path(folder, name), to / name)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(to / name)) from None


def _contents(target: Path) -> Iterator[str]:
    """The path of everything there but folders, "" for itself if it is none."""
    if not target.is_dir():
        if os.path.lexists(target):
            yield ""
        return
    for folder, folders, names in os.walk(target, onerror=_raise):
        links = [name for name in folders if os.path.islink(Path(folder, name))]
        for name in (*names, *links):
            yield Path(folder, name).relative_to(target).as_posix()


def _raise(error: OSError) -> None:
    raise error


def _bears(file: Path, word: str) -> bool:
    with open(file, "rb") as content:
        return word.encode() in content.read(HEAD)


@contextmanager
def _stage(target: Path, files: Files) -> Iterator[Staged]:
    """The place beside `target` where its successor is made; it vanishes with all that is left there."""
    place = target.with_name(target.name + ".partial")
    made = [folder for folder in place.parents if not folder.exists()]
    try:
        with locked(place) as before:
            _check_place(place, before)
            try:
                check_own(target, files)
                _recover(place, target)
                output = Staged(target, files, place)
                (output.path.parent if "" in files else output.path).mkdir(parents=True)
                yield output
            finally:
                if os.path.lexists(target) or not (place / "old").exists():  # else a disk failed twice
                    remove(place)
    except BaseException:
        for folder in made:  # empty again
            with suppress(OSError):
                folder.rmdir()
        raise


def _check_place(place: Path, before: bool) -> None:
    """Raise SaevError if there is anything in the place of a run's work but what a run `before` left."""
    known = {"new", "old"} if before else set()
    there = {path.name for path in place.iterdir() if not (before and path.name.startswith(GONE))}
    if foreign := there - known - {LOCK}:
        if not before:
            (place / LOCK).unlink()
        raise SaevError(f"{place / min(foreign)}: is in the way of an output that is made there; {_REMEDY}")


def _recover(place: Path, target: Path) -> None:
    """Put right what a run left that was killed: the old output, taken away, comes back; the rest goes."""
    if (place / "old").exists() and not os.path.lexists(target):
        os.rename(place / "old", target)
    clear(place)


def _rename(old: Path, new: Path, undo: ExitStack) -> None:
    os.rename(old, new)
    undo.callback(os.rename, new, old)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system or the disk has no such step."""
    system, here = ctypes.CDLL(None, use_errno=True), -100  # AT_FDCWD
    names = [os.fsencode(one), os.fsencode(other)]
    if hasattr(system, "renameat2"):  # Linux; 2 is RENAME_EXCHANGE
        failed = system.renameat2(here, names[0], here, names[1], 2)
    elif hasattr(system, "renamex_np"):  # macOS; 2 is RENAME_SWAP
        failed = system.renamex_np(*names, 2)
    else:
        return False
    if failed and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed
