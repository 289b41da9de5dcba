"""Answers with arrays: a line of JSON, then the bytes, as a browser's typed arrays take them."""

import json
from collections.abc import Mapping

import numpy as np

ALIGNED = 8


def pack(facts: dict, arrays: Mapping[str, np.ndarray]) -> bytes:
    """4 bytes (little-endian) that say how long the head is; the head, JSON of the facts with the type, shape
    and offset of each array; the arrays, each at a multiple of 8 bytes from the end of the head."""
    told, parts, end = {}, [], 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        told[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "offset": end}
        parts.append(little.tobytes() + b"\0" * (-little.nbytes % ALIGNED))
        end += len(parts[-1])
    head = json.dumps({**facts, "arrays": told}, allow_nan=False).encode()
    head += b" " * (-(4 + len(head)) % ALIGNED)
    return b"".join([len(head).to_bytes(4, "little"), head, *parts])


def unpack(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """The facts and the arrays, back."""
    end = 4 + int.from_bytes(content[:4], "little")
    facts = json.loads(content[4:end])
    arrays = {}
    for name, of in facts.pop("arrays").items():
        count = int(np.prod(of["shape"]))
        arrays[name] = np.frombuffer(content, of["dtype"], count, end + of["offset"]).reshape(of["shape"])
    return facts, arrays
