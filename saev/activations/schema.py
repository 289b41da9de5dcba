"""What a store holds: one Zarr v3 group per (data split, backbone).

    acts/<layer>               float16 or float32 (n_images, n_tokens, d)  residual stream after block <layer>
    norms/<layer>              float32 (n_images, n_tokens)                ||x||_2 of those values
    labels/image               uint16  (n_images,)                         65535 = unknown
    labels/patch               uint16  (n_images, rows * columns)          65535 = ignore
    labels/present             bool    (n_images,)                         false: it could not be decoded
    labels/concepts            int8    (n_images, units, concepts)         1 shown, 0 not, -1 nobody knows
    labels/cluster             uint32  (n_images, units)                   2^32 - 1 = of none
    stats/<layer>/<kind>/mean  float64 (d,)
    checksums/<array>          uint32  (chunks,)  of acts, norms and labels: the CRC32C of the chunk in each
                                                  place, which tells exchanged chunks apart
    attributes                 what is recorded: schema, backbone, weights, geometry, preprocess, n_blocks,
                               d, layers, grid, spans, backbone_tokens, dtype, computed, data, split,
                               n_images, classes, described, concepts, clusters, purity, corrupt, chunk,
                               batch_size; at the end stats
                               (scalars per layer and kind), missing (names of the images not present) and
                               sha256 (of all others); last complete

Of data that are `described` by patches or by images (else null), units are the patches, or one, the image;
`concepts` and `clusters` are the names. What is not described, or has no concepts, lacks those arrays.

`spans` gives the range of each kind of token along the token axis: cls, register, patch, meanpool.
The activations of an image that is not present are NaN, so that nobody averages over them
without noticing.

Any Zarr v3 reader opens it. Arrays are uncompressed (zstd wins 7 % on activations and
costs 4x the time) in plain chunks of whole images, which are also the unit of resume.
Every chunk carries a CRC32C (Zarr's own codec), verified at every read.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from saev.activations.chunks import folder
from saev.activations.origin import shortened
from saev.data.sample import IGNORE, NO_CLUSTER, UNKNOWN
from saev.errors import SaevError, first_line
from saev.files import digest

SCHEMA = 6
KINDS = ("cls", "register", "patch", "meanpool")
DTYPES = ("float16", "float32")
_ARRAYS = "(acts|norms|labels|stats|checksums)"
FILES = {
    r"zarr\.json": '"backbone_tokens"',
    rf"{_ARRAYS}/(.+/)?zarr\.json": None,
    rf"{_ARRAYS}/.+/c(/\d+)*": None,
}
"""By which a store is known (saev/outputs.py)."""


def arrays(attrs: dict) -> dict[str, tuple[str, tuple[int, ...], object]]:
    """(dtype, shape, value where a chunk is missing) of every per-image array, from a store's attributes."""
    n, d, layers = attrs["n_images"], attrs["d"], attrs["layers"]
    described = {}
    if attrs["described"]:
        u = math.prod(attrs["grid"]) if attrs["described"] == "patches" else 1
        described["labels/cluster"] = ("uint32", (n, u), NO_CLUSTER)
        if c := len(attrs["concepts"]):
            described["labels/concepts"] = ("int8", (n, u, c), UNKNOWN)
    t, p = max(last for _, last in attrs["spans"].values()), attrs["grid"][0] * attrs["grid"][1]
    return {
        **{f"acts/{layer}": (attrs["dtype"], (n, t, d), math.nan) for layer in layers},
        **{f"norms/{layer}": ("float32", (n, t), math.nan) for layer in layers},
        "labels/patch": ("uint16", (n, p), IGNORE),
        "labels/image": ("uint16", (n,), IGNORE),
        "labels/present": ("bool", (n,), False),
        **described,
    }


def open_group(path: Path) -> zarr.Group:
    """The group of a store, complete or not, read-only.

    Raises:
        SaevError: no store there, one of another schema, attributes that no store has, or arrays that are not
            what the attributes say. Arrays that are missing are the reader's affair.
    """
    if not (path / "zarr.json").is_file():
        raise SaevError(f"{path}: no activation store there; record one with the extract stage")
    try:
        group = zarr.open_group(str(path), mode="r")
        attrs = attributes(group)
    except Exception as error:  # zarr, json and the file system each raise their own
        raise SaevError(f"{path}: not an activation store ({first_line(error)})") from None
    if attrs.get("schema") != SCHEMA:
        raise SaevError(
            f"{path}: schema is {attrs.get('schema')!r}, this version reads {SCHEMA}; record it again"
        )
    for key, right in _RIGHT.items():
        if not right(attrs.get(key), attrs):
            value = shortened(attrs.get(key))
            raise SaevError(f"{path}: damaged: attribute {key} is {value}; record the store again")
    for key, (dtype, shape, _) in arrays(attrs).items():
        array = find_array(group, key)
        chunks = (attrs["chunk"], *shape[1:])
        if array is not None and (array.dtype, array.shape, array.chunks) != (dtype, shape, chunks):
            raise SaevError(
                f"{path}/{key}: damaged: {array.dtype} {array.shape} in chunks of {array.chunks}, but the "
                f"store's attributes say {dtype} {shape} in chunks of {chunks}; record the store again"
            )
    if attrs.get("complete") is True and attrs.get("sha256") != digest_of(attrs):
        raise SaevError(
            f"{path}: damaged: an attribute was changed since it was complete; record the store again"
        )
    return group


def attributes(group: zarr.Group) -> dict[str, Any]:
    """The attributes of a store."""
    return dict(group.attrs)


def digest_of(attrs: dict) -> str:
    """SHA-256 of a complete store's attributes: of those also whose values nothing else tells, such as the
    names of the classes."""
    return digest({key: value for key, value in attrs.items() if key not in ("sha256", "complete")}, {})


def find_array(group: zarr.Group, key: str) -> zarr.Array | None:
    """An array of a store; None if it is missing. Raises SaevError if its description cannot be read."""
    try:
        found = group.get(key)
    except Exception as error:  # zarr's and json's own
        raise damaged(group, key, first_line(error)) from None
    return found if isinstance(found, zarr.Array) else None


def array_of(group: zarr.Group, key: str) -> zarr.Array:
    """An array of a store. Raises SaevError if it is missing, or its description cannot be read."""
    array = find_array(group, key)
    if array is None:
        raise damaged(group, key, "this array is missing")
    return array


def rows(array: zarr.Array, of: slice = slice(None)) -> np.ndarray:
    """These rows of an array. Raises ValueError if a chunk of them is not as it was written."""
    return np.asarray(array[of])


def damaged(group: zarr.Group, key: str, how: str) -> SaevError:
    """The error of an array that is not there, or not as it was written."""
    return SaevError(f"{folder(group)}/{key}: damaged: {how}; record the store again")


def _is_text(value: object, _: dict) -> bool:
    return isinstance(value, str)


def _is_count(value: object, _: dict) -> bool:
    return type(value) is int and value > 0


def _are_layers(value: object, attrs: dict) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(type(layer) is int and 0 <= layer < attrs["n_blocks"] for layer in value)
    )


def _is_grid(value: object, _: dict) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_count(side, _) for side in value)


def _are_spans(value: object, attrs: dict) -> bool:
    """One range after the other, from 0; as many patches as the grid has."""
    if not isinstance(value, dict) or not value or not set(value) <= set(KINDS):
        return False
    end = 0
    for span in value.values():
        if not isinstance(span, list) or len(span) != 2 or span[0] != end or not _is_count(span[1], attrs):
            return False
        start, end = span
        if start >= end:
            return False
    first, last = value.get("patch", (0, math.prod(attrs["grid"])))
    return last - first == math.prod(attrs["grid"])


def _are_names(value: object, _: dict) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_stats(value: Any, attrs: dict) -> bool:
    """Finite scalars for every layer and kind, once the store is complete."""
    if attrs.get("complete") is not True:
        return True
    try:
        scalars = [value[str(layer)][kind] for layer in attrs["layers"] for kind in attrs["spans"]]
        return all(
            math.isfinite(entry[key]) for entry in scalars for key in ("scale", "min", "max", "median_norm")
        )
    except (KeyError, TypeError):
        return False


_RIGHT: dict[str, Callable[[object, dict], bool]] = {
    "backbone": _is_text,
    "weights": _is_text,
    "geometry": _is_text,
    "data": _is_text,
    "n_blocks": _is_count,
    "n_images": _is_count,
    "d": _is_count,
    "chunk": _is_count,
    "dtype": lambda value, _: value in DTYPES,
    "layers": _are_layers,
    "grid": _is_grid,
    "spans": _are_spans,
    "classes": _are_names,
    "described": lambda value, _: value in (None, "patches", "images"),
    "concepts": _are_names,
    "clusters": _are_names,
    "stats": _are_stats,
}
"""Whether the value of an attribute is one; those named earlier are right already."""
