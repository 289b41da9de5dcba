"""The codes of single images, read from a file without its being read whole."""

import json
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from saev.arrays import TYPES
from saev.errors import SaevError, first_line
from saev.files import digest


class Fired(NamedTuple):
    """The codes above 0 of an image, token by token."""

    token_n: np.ndarray
    latent_n: np.ndarray
    code_n: np.ndarray


class Source(Protocol):
    """The codes of a split."""

    def of(self, image: int) -> Fired:
        """Those of an image."""
        ...


class StoredCodes:
    """What the features stage wrote of a split; no more of the file is in memory than is asked for.

    Raises:
        SaevError: the file is missing, damaged, or another SAE's.
    """

    def __init__(self, path: str | Path, sae: str):
        """
        Args:
            sae: digest of the SAE whose codes they must be.
        """
        arrays, facts = _mapped(Path(path))
        if facts.get("sae") != sae:
            whose = f"the codes of SAE {facts.get('sae')}, not of the one given, {sae}"
            raise SaevError(f"{path}: {whose}; run the features stage again")
        self.values, self.latents, self.offsets = (arrays[key] for key in ("values", "latents", "offsets"))
        self.n_images = facts["n_images"]
        self.per_image = (len(self.offsets) - 1) // self.n_images

    def of(self, image: int) -> Fired:
        """The codes of an image."""
        offset_t = self.offsets[image * self.per_image : (image + 1) * self.per_image + 1]
        these = slice(offset_t[0], offset_t[-1])
        token_n = np.repeat(np.arange(self.per_image), np.diff(offset_t))
        return Fired(token_n, self.latents[these].astype(np.int64), self.values[these].astype(np.float32))


def _mapped(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of a file of `saev.arrays.save_arrays`, as views of it on disk, and its facts."""
    if not path.is_file():
        raise SaevError(f"{path}: not there; run the features stage")
    kinds = {name: np.dtype(kind) for kind, name in TYPES.items()}
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(min(length, 2**26)))
        facts = json.loads(head.pop("__metadata__")["saev"])
        arrays = {}
        for name, of in head.items():
            kind, (begin, end) = kinds[of["dtype"]], of["data_offsets"]
            flat = np.memmap(path, kind, "r", 8 + length + begin, ((end - begin) // kind.itemsize,))
            arrays[name] = flat.reshape(of["shape"])
        whole = facts.pop("sha256") == digest(facts, arrays)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SaevError(f"{path}: damaged ({first_line(error)}); run the features stage again") from None
    if not whole or {"values", "latents", "offsets"} - arrays.keys():
        raise SaevError(f"{path}: damaged (changed since it was written); run the features stage again")
    return arrays, facts
