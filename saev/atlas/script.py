"""Data as classic scripts, the only files that a page opened from disk may load: `atlas.put(key, value)`."""

import base64
import json
from pathlib import Path

import numpy as np

TYPES = {"uint8": "u8", "uint16": "u16", "uint32": "u32", "int32": "i32", "float32": "f32"}
"""Names of types in the page (site/js/data.js)."""


def packed(array: np.ndarray) -> dict[str, str]:
    """{type: base64 of its bytes, little-endian}, flat."""
    array = np.ascontiguousarray(array)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {TYPES[array.dtype.name]: base64.b64encode(little.tobytes()).decode()}


def script(key: str, value: object) -> str:
    """The script that gives the page `value` under `key`.

    No text in it can end the script or a line of it: everything but ASCII is escaped, and `<`.
    """
    return f"atlas.put({_literal(key)},{_literal(value)});\n"


def write_script(folder: Path, key: str, value: object) -> None:
    """Write it to `<key>.js`."""
    file = folder / f"{key}.js"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script(key, value))


def narrowest(array: np.ndarray) -> np.ndarray:
    """Whole numbers >= 0 in the smallest type that holds them."""
    top = int(array.max(initial=0))
    return array.astype(np.uint8 if top < 2**8 else np.uint16 if top < 2**16 else np.uint32)


def _literal(value: object) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
