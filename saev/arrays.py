"""Arrays on disk with what is said about them, and the digest of both, by which any change is noticed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from saev.errors import SaevError, first_line
from saev.files import digest

TYPES = {
    "bool": "BOOL",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "uint16": "U16",
    "int32": "I32",
    "int64": "I64",
}
"""Names of types, as safetensors has them."""


def save_arrays(arrays: Mapping[str, np.ndarray], facts: dict, file: Path) -> None:
    """Write a safetensors file whose metadata hold `facts` and the digest of both.

    Not by the library, which has all arrays in memory twice: these may be larger than that, and mapped.
    """
    head: dict = {"__metadata__": {"saev": json.dumps(facts | {"sha256": digest(facts, arrays)})}}
    end, ordered = 0, sorted(arrays.items(), key=lambda of: (-of[1].itemsize, of[0]))  # so all are aligned
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        offsets = {"data_offsets": [begin, end]}
        head[name] = {"dtype": TYPES[str(array.dtype)], "shape": array.shape, **offsets}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            out.write(np.ascontiguousarray(array).data)


def load_arrays(
    path: str | Path, stage: str, names: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of these names (None: whichever there are) that a stage wrote, and its facts about them.

    Raises:
        SaevError: the file is missing, or not as it was written.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise SaevError(f"{path}: not there; run the {stage} stage")
    try:
        with safe_open(path, "np") as file:
            facts = json.loads((file.metadata() or {}).get("saev", "{}"))
            arrays = {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
    except (SafetensorError, ValueError) as error:
        raise SaevError(f"{path}: damaged ({first_line(error)}); run the {stage} stage again") from None
    if not isinstance(facts, dict) or facts.pop("sha256", None) != digest(facts, arrays):
        raise SaevError(f"{path}: damaged (changed since it was written); run the {stage} stage again")
    return arrays, facts
