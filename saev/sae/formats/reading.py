"""What the readers of other libraries' files share: where the files are, and what is in them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from saev.errors import SaevError, first_line
from saev.sae.formats.hub import SCHEME, fetch


@contextmanager
def of(file: Path) -> Iterator[None]:
    """Let an error say which file it is about."""
    try:
        yield
    except SaevError as error:
        raise SaevError(f"{file}: {error}") from None


def folder_with(source: str | Path, files: list[str], library: str) -> Path:
    """The folder `source`, or that of `hf://owner/name`. Raises SaevError unless it holds the files."""
    folder = fetch(str(source), files) if str(source).startswith(SCHEME) else Path(source)
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise SaevError(
            f"{source}: no {library} folder there; expected {' and '.join(files)}, {missing[0]} is missing"
        )
    return folder


def read_json(file: Path) -> dict:
    """Raises SaevError unless it holds a JSON object."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SaevError(f"{file}: damaged: {first_line(error)}") from None
    if not isinstance(found, dict):
        raise SaevError(f"{file}: must hold a JSON object, got {type(found).__name__}")
    return found


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Raises SaevError if it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise SaevError(f"{file}: damaged: {first_line(error)}") from None


def read_torch(file: Path, stream: BinaryIO | None = None) -> dict[str, Tensor]:
    """A state dict saved by torch. Nothing in it is run: raises SaevError if it is not tensors alone."""
    try:
        found = torch.load(stream or file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's, pickle's and zipfile's
        raise SaevError(f"{file}: not a state dict of tensors alone ({first_line(error)})") from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise SaevError(f"{file}: not a state dict of tensors alone")
    return found


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors by our names from theirs; `.T` after a name: transposed. Raises SaevError if one is missing."""
    out = {}
    for ours, theirs in names.items():
        name = theirs.removesuffix(".T")
        if name not in tensors:
            raise SaevError(f"{name} is missing; there are {', '.join(sorted(tensors)) or 'no tensors'}")
        out[ours] = tensors[name]
        if theirs.endswith(".T"):
            if out[ours].dim() != 2:
                raise SaevError(f"{name} has shape {tuple(out[ours].shape)}, it must have two axes")
            out[ours] = out[ours].T
    return out


def integer(config: Mapping, key: str) -> int:
    """Raises SaevError unless `key` is there, and an integer above 0."""
    value = config.get(key)
    if type(value) is not int or value < 1:
        got = f"got {value!r}" if key in config else "it is missing"
        raise SaevError(f"{key} must be an integer > 0, {got}")
    return value


def same(config: Mapping, key: str, value: int) -> None:
    """Raises SaevError if `key` is there and says something else than the tensors do."""
    if config.get(key, value) != value:
        raise SaevError(f"{key} is {config[key]!r}, but the tensors have {value}")


def measured(threshold: Tensor | float | None, name: str) -> Tensor | float:
    """Raises SaevError unless there is a threshold, and it is not below 0, which stands for none."""
    if threshold is None or not float(threshold) >= 0:
        found = "missing" if threshold is None else f"{float(threshold):g}"
        raise SaevError(
            f"{name} is {found}; without it a BatchTopK "
            "gives other codes: give threshold=, the mean over batches of the smallest code that is kept"
        )
    return threshold
