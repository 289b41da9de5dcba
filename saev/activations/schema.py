"""What a store holds: one Zarr v3 group per (data split, backbone).

    acts/<layer>               float16 or float32 (n_images, n_tokens, d)   residual stream after block <layer>
    norms/<layer>              float32 (n_images, n_tokens)                 ||x||_2 of those values
    labels/image               uint16  (n_images,)                          65535 = unknown
    labels/patch               uint16  (n_images, n_patches)                65535 = ignore
    labels/present             bool    (n_images,)                          false: the image could not be decoded
    stats/<layer>/<kind>/mean  float64 (d,)
    attributes                 schema, backbone, weights, geometry, preprocess, n_blocks, d, layers, grid, spans,
                               backbone_tokens, dtype, computed, data, split, n_images, classes, purity, corrupt,
                               chunk; then stats (scalars per layer and kind) and missing (names of the images not
                               present); and complete, written last

`spans` gives the range of each kind of token along the token axis: cls, register, patch, meanpool.
The activations of an image that is not present are NaN, so that nobody averages over them
without noticing.

Any Zarr v3 reader opens it. Arrays are uncompressed (zstd wins 7 % on activations and
costs 4x the time) in plain chunks of whole images, which are also the unit of resume.
Every chunk carries a CRC32C (Zarr's own codec), verified at every read.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import zarr
from zarr.codecs import Crc32cCodec

from saev.activations.origin import shortened
from saev.backbones.backbone import Backbone
from saev.checks import Options, at_least, between
from saev.data.sample import IGNORE, ImageDataset
from saev.errors import SaevError, first_line
from saev.files import publish

SCHEMA = 3
DTYPES = {"float16": torch.float16, "float32": torch.float32}
KINDS = ("cls", "register", "patch", "meanpool")


@dataclass(frozen=True, kw_only=True)
class Recording(Options, section="extract"):
    """What a store shall hold."""

    tokens: tuple[Literal["cls", "register", "patch", "meanpool"], ...] | None = None
    """Kinds to record, of cls, register, patch and meanpool (the mean of the patch tokens); None: every token
    of the backbone. The model can only be continued from a store with all of them."""
    dtype: Literal["float16", "float32"] = "float16"
    """float16 or float32. (Zarr has no bfloat16, whose 8 bits of mantissa would also lose more.)"""
    purity: Annotated[float, between(0, 1)] = 0.9
    """See `majority_labels`."""
    corrupt: Literal["fatal", "missing"] = "fatal"
    """What an image that cannot be decoded is: `fatal`, or `missing`: its activations are NaN, its labels are
    ignored, and the store names it."""
    chunk: Annotated[int, at_least(1)] = 32
    """Images per chunk, the unit of writing, of resume and of sharing between processes."""
    batch_size: Annotated[int, at_least(1)] = 16
    """Images per forward pass; 16 is fastest on a CPU, where 32 leaves the cache."""
    split: str | None = None
    """Which part of the data it is, for the record."""


def identity(
    backbone: Backbone, images: ImageDataset, layers: list[int], options: Recording, computed: str
) -> dict:
    """What the store is of. All of it must agree before an unfinished one is continued.

    Args:
        computed: how the values are computed, for example `bf16 on cpu`: half a store in one way and half in
            another would depend on where the run was interrupted.
    """
    if len(images.classes) > IGNORE:
        raise SaevError(f"data: {len(images.classes)} classes, at most {IGNORE} fit the labels")
    available = [kind for kind in KINDS if kind in backbone.tokens or kind == "meanpool"]
    kinds = [
        kind for kind in KINDS if kind in (backbone.tokens if options.tokens is None else options.tokens)
    ]
    if absent := [kind for kind in kinds if kind not in available]:
        raise SaevError(f"extract.tokens: {backbone.name} has no {absent[0]!r} tokens; it has {available}")
    if not kinds:
        raise SaevError(
            f"extract.tokens must name at least one of {available}, or be null for all of the backbone's"
        )
    spans, end = {}, 0
    for kind in kinds:
        first, last = backbone.tokens.get(kind, (0, 1))
        spans[kind] = [end, end := end + last - first]
    return {
        "schema": SCHEMA,
        "backbone": backbone.name,
        "weights": backbone.weights_hash(),
        "geometry": getattr(backbone, "geometry", ""),
        "preprocess": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(backbone.preprocess).items()
        },
        "n_blocks": backbone.n_blocks,
        "d": backbone.d,
        "layers": layers,
        "grid": list(backbone.grid),
        "spans": spans,
        "backbone_tokens": {kind: list(ends) for kind, ends in backbone.tokens.items()},
        "dtype": options.dtype,
        "computed": computed,
        "data": images.fingerprint,
        "split": options.split,
        "n_images": len(images),
        "classes": list(images.classes),
        "purity": options.purity,
        "corrupt": options.corrupt,
        "chunk": options.chunk,
    }


def create(path: Path, attrs: dict) -> None:
    """Create the store with all its arrays, or clear what an interrupted run left of it."""
    if (path / "zarr.json").is_file():
        found = zarr.open_group(str(path), mode="r").attrs
        for key, value in attrs.items():
            if found.get(key) != value:
                raise SaevError(
                    f"{path}: the unfinished store there has {key} {shortened(found.get(key))}, this run {shortened(value)}; "
                    "finish it with its own configuration, or delete it"
                )
        for leftover in path.rglob("*.partial"):
            leftover.unlink()
        return
    group = zarr.open_group(str(path.with_name("new")), mode="w", attributes=attrs)
    for key, (dtype, shape, fill) in arrays(attrs).items():
        group.create_array(
            key,
            shape=shape,
            chunks=(attrs["chunk"], *shape[1:]),
            dtype=dtype,
            fill_value=fill,
            compressors=Crc32cCodec(),
        )
    publish(path.with_name("new"), path)  # whole or not at all


def arrays(attrs: dict) -> dict[str, tuple[str, tuple[int, ...], object]]:
    """(dtype, shape, value where a chunk is missing) of every per-image array of a store with these attributes."""
    n, d, layers = attrs["n_images"], attrs["d"], attrs["layers"]
    t, p = max(last for _, last in attrs["spans"].values()), attrs["grid"][0] * attrs["grid"][1]
    return {
        **{f"acts/{layer}": (attrs["dtype"], (n, t, d), float("nan")) for layer in layers},
        **{f"norms/{layer}": ("float32", (n, t), float("nan")) for layer in layers},
        "labels/patch": ("uint16", (n, p), IGNORE),
        "labels/image": ("uint16", (n,), IGNORE),
        "labels/present": ("bool", (n,), False),
    }


def open_group(path: Path) -> zarr.Group:
    """The group of a store of this schema, complete or not, read-only. Raises SaevError if there is none."""
    if not (path / "zarr.json").is_file():
        raise SaevError(f"{path}: no activation store there; record one with the extract stage")
    try:
        group = zarr.open_group(str(path), mode="r")
    except Exception as error:  # zarr, json and the file system each raise their own
        raise SaevError(f"{path}: not an activation store ({first_line(error)})") from None
    if group.attrs.get("schema") != SCHEMA:
        raise SaevError(
            f"{path}: schema is {group.attrs.get('schema')!r}, this version reads {SCHEMA}; record it again"
        )
    return group
