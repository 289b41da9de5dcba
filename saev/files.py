"""Reading records, and writing single files so that a reader never sees half of one."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        # A view: of a file on disk no more is read than is hashed.
        sha.update(array.reshape(-1).view("u1").data)
    return sha.hexdigest()


def package_folder(name: str) -> Path:
    """Where an installed package lies, not imported. Raises ModuleNotFoundError if it is not there."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return Path(spec.submodule_search_locations[0])


def read_json(path: str | Path, stage: str = "stage that writes it") -> Any:
    """What a stage wrote. Raises SaevError, naming the `stage` to run, if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise SaevError(f"{path}: not there; run the {stage}") from None
    except (ValueError, RecursionError) as error:
        raise SaevError(f"{path}: damaged: {first_line(error)}; run the {stage} again") from None


def read_yaml(path: str | Path) -> dict:
    """Options by name. Raises SaevError if the file is missing or holds none."""
    import yaml  # which most that reads records can do without

    try:
        content = yaml.load(Path(path).read_bytes(), yaml.CSafeLoader) or {}
    except OSError as error:
        raise SaevError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SaevError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SaevError(f"{path}: expected options by name, got {content!r}")
    return content


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
    write_by(lambda file: file.write_bytes(content), path)


def write_by(save: Callable[[Path], object], path: str | Path) -> None:
    """Let `save(file)` write a file, which takes the place of `path` (of a link: of its target) once it is
    whole and on the disk, with the mode that the umask gives. (Libraries have their own: safetensors 0600.)

    Raises:
        OSError: the disk is full, for one; it names `path`, whatever the library that wrote raises.
    """
    path = Path(path).resolve()
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        save(partial)
        partial.chmod(mode)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception as error:
        raise os_error(error, path) from None
    finally:
        partial.unlink(missing_ok=True)


def os_error(error: Exception, path: Path) -> Exception:
    """What the system refused, with the name of the file if it lacks one; any other error as it is."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        if found := re.search(r"\(os error (\d+)\)", str(cause)):  # as Rust says it: safetensors
            cause = OSError(int(found[1]), os.strerror(int(found[1])))
        else:  # torch.save speaks of another thing that failed then
            cause = cause.__cause__ or cause.__context__
    if cause is None or cause.errno is None or cause.filename is not None:
        return cause or error
    return OSError(cause.errno, cause.strerror, str(path))
