"""Writing results so that a reader never sees half of one."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from saev.errors import SaevError, first_line

if TYPE_CHECKING:  # `pipeline.facts`, which runs before every stage, needs no numpy
    import numpy as np


def fingerprint(value: object) -> str:
    """First 16 hex digits of the SHA-256 of `value` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def digest(facts: object, arrays: "Mapping[str, np.ndarray]") -> str:
    """SHA-256 over `facts` as canonical JSON and over the arrays with their names, types and shapes, by name.

    Written beside what it is of, it tells any byte that was changed since: of the values and of what is said
    about them alike, which a hash of the file of values alone would leave open.
    """
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        sha.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def read_json(path: str | Path, stage: str = "stage that writes it") -> dict | list | None:
    """What a stage wrote. Raises SaevError, naming the `stage` to run, if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise SaevError(f"{path}: not there; run the {stage}") from None
    except (ValueError, RecursionError) as error:
        raise SaevError(f"{path}: damaged: {first_line(error)}; run the {stage} again") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused because JSON has none."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write `text` atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory that becomes `path` on success and vanishes on failure."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        publish(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(finished: Path, path: str | Path) -> None:
    """Move the finished directory to `path`, replacing what is there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    shutil.move(finished, path)


def scratch_place(stage: str, config: object) -> Path:
    """Where unfinished work of `stage` under `config` lies: `.scratch/<stage>/<fingerprint>`."""
    return Path(".scratch", stage, fingerprint(config))


def scratch(stage: str, config: object) -> Path:
    """The resumable working directory of `stage` under `config`, made if it is not there.

    DVC deletes a stage's outputs before every run, so work that must survive a crash
    lives here; the stage moves the result out, or removes it, on success.
    """
    path = scratch_place(stage, config)
    path.mkdir(parents=True, exist_ok=True)
    return path
