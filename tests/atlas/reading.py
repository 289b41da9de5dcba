"""The scripts of an atlas, read as the page reads them."""

import base64
import json
from pathlib import Path

import numpy as np

TYPES = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "f32": "<f4"}


def put(text: str) -> tuple[str, object]:
    """The key and the value of `atlas.put(key, value)`; JSON is JavaScript."""
    assert text.startswith("atlas.put(") and text.endswith(");\n")
    key, value = json.loads(f"[{text[len('atlas.put(') : -len(');') - 1]}]")
    return key, value


def read(out: Path, key: str) -> dict:
    """The value of a key."""
    found, value = put((out / f"{key}.js").read_text())
    assert found == key
    return value


def unpacked(packed: dict[str, str]) -> np.ndarray:
    ((kind, text),) = packed.items()
    return np.frombuffer(base64.b64decode(text), TYPES[kind])
