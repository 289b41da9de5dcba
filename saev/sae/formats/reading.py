"""Other libraries' files: nothing in them is ever run, and what is wrong with one is told in a line."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from saev.errors import SaevError, first_line


@contextmanager
def within(file: object) -> Iterator[None]:
    """Put the file's name before what is found wrong with its content."""
    try:
        yield
    except SaevError as error:
        raise SaevError(f"{file}: {error}") from None


def need(folder: Path, *names: str) -> Path:
    """The first of these files that is in the folder. Raises SaevError if none is."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    hint = "" if folder.is_dir() else "; on the hub it would be hf://owner/name"
    raise SaevError(f"{folder}: no {' or '.join(names)} there{hint}")


def read_config(file: Path) -> dict:
    """The mapping in a JSON or YAML file. Raises SaevError if there is none."""
    import yaml

    try:
        text = file.read_text()
        config = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SaevError(f"{file}: damaged: {first_line(error)}") from None
    if not isinstance(config, dict):
        raise SaevError(f"{file}: must hold a mapping of options, not a {type(config).__name__}")
    return config


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a torch state dict. Raises SaevError if it holds anything else."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.suffix != ".safetensors":
        with within(file), open(file, "rb") as stream:
            return read_state_dict(stream)
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise SaevError(f"{file}: damaged: {first_line(error)}") from None


def read_state_dict(stream: IO[bytes]) -> dict[str, Tensor]:
    """The tensors of what `torch.save` wrote, without unpickling.

    Raises:
        SaevError: it is no such archive, or holds more than tensors.
    """
    if not zipfile.is_zipfile(stream):
        raise SaevError("damaged, or not written by torch.save: no archive of tensors is there")
    stream.seek(0)
    try:
        tensors = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception:  # torch's message says how to run what is in there
        tensors = None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise SaevError(
            "damaged, or holds more than tensors by name, which might run code and is never loaded"
        )
    return tensors


def rename(tensors: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The tensors under our names, given theirs by ours; `x.T` is the transpose of their matrix x.

    Raises:
        SaevError: one is missing, or one is left over, so that their formula must be another one.
    """
    theirs = {ours: name.removesuffix(".T") for ours, name in names.items()}
    expected = ", ".join(theirs.values())
    for name in (*theirs.values(), *tensors):
        if name not in tensors:
            raise SaevError(f"no tensor {name}; expected {expected}, found {', '.join(tensors)}")
        if name not in theirs.values():
            raise SaevError(f"a tensor {name}, of which the formula with {expected} knows nothing")
    return {
        ours: tensors[name].mT if names[ours] != name and tensors[name].ndim > 1 else tensors[name]
        for ours, name in theirs.items()
    }


def check_said(config: dict, **found: object) -> None:
    """Raise SaevError where the config tells another size than that of the tensors."""
    for key, size in found.items():
        if config.get(key, size) != size:
            raise SaevError(f"{key} is {config[key]!r}, but the tensors have {size}")
