"""What a new store shall hold: its options, its identity, and its empty arrays."""

import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import zarr
from zarr.codecs import Crc32cCodec

from saev.activations.origin import shortened
from saev.activations.schema import KINDS, SCHEMA, arrays, find_array
from saev.backbones.backbone import Backbone
from saev.checks import COUNT, Options, between
from saev.data.sample import IGNORE, ImageDataset, is_described
from saev.errors import SaevError
from saev.machine import Machine

LARGEST_CHUNK = 2**31
"""Bytes. Recording holds a chunk several times, and the stream a whole window of them."""


@dataclass(frozen=True, kw_only=True)
class Recording(Options, section="extract"):
    """What a store shall hold."""

    layers: tuple[int, ...]
    """Blocks of the backbone after which the residual stream is recorded; -1 is the last."""
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
    chunk: Annotated[int, COUNT] = 32
    """Images per chunk, the unit of writing, of resume and of sharing between processes; at most all."""
    batch_size: Annotated[int, COUNT] = 16
    """Images per forward pass; 16 is fastest on a CPU, where 32 leaves the cache."""
    split: str | None = None
    """Name of the part of the data that it is, for the record."""


def identity(backbone: Backbone, images: ImageDataset, options: Recording, machine: Machine) -> dict:
    """The attributes of a new store: all that determines its values, to the last bit.

    All of it must agree before an unfinished store is continued. Half a store in one precision and half in
    another would depend on where the run was interrupted.
    """
    if not len(images):
        raise SaevError(f"data: there are no images to record in {options.split or 'this split'}")
    if not options.layers:
        raise SaevError("layers must name at least one block of the backbone")
    told = images if is_described(images) else None
    if len(images.classes) > IGNORE:
        raise SaevError(f"data: {len(images.classes)} classes, at most {IGNORE} fit the labels")
    attrs = {
        "schema": SCHEMA,
        "backbone": backbone.name,
        "weights": backbone.weights_hash(),
        "geometry": backbone.geometry,
        "preprocess": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(backbone.preprocess).items()
        },
        "n_blocks": backbone.n_blocks,
        "d": backbone.d,
        "grid": list(backbone.grid),
        "spans": _spans(backbone, options),
        "backbone_tokens": {kind: list(ends) for kind, ends in backbone.tokens.items()},
        "computed": f"{'bf16' if machine.bf16 else 'fp32'} on {machine.device.type}, {_torch()}",
        "data": images.fingerprint,
        "n_images": len(images),
        "classes": list(images.classes),
        "described": told.described if told else None,
        "concepts": list(told.concepts) if told else [],
        "clusters": list(told.clusters) if told else [],
        **asdict(options),
        "layers": sorted({backbone.layer_index(layer) for layer in options.layers}),
        "chunk": min(options.chunk, len(images)),
    }
    del attrs["tokens"]  # said by spans
    _check_chunk(attrs)
    return attrs


def _torch() -> str:
    # Without the build's name: wheels of one version agree on the CPU.
    return f"torch {torch.__version__.partition('+')[0]}"


def _spans(backbone: Backbone, options: Recording) -> dict[str, list[int]]:
    """The range of each kind of token along the token axis."""
    available = [kind for kind in KINDS if kind in backbone.tokens or kind == "meanpool"]
    chosen = backbone.tokens if options.tokens is None else options.tokens
    if not chosen:
        right = f"name at least one of {available}, or be null for all of the backbone's"
        raise SaevError(f"extract.tokens must {right}, got []")
    spans, end = {}, 0
    for kind in (kind for kind in KINDS if kind in chosen):
        if kind not in available:
            raise SaevError(f"extract.tokens: {backbone.name} has no {kind!r} tokens; it has {available}")
        first, last = backbone.tokens.get(kind, (0, 1))
        spans[kind] = [end, end := end + last - first]
    return spans


def _check_chunk(attrs: dict) -> None:
    """Raise SaevError if a chunk of activations would not fit into memory a few times."""
    dtype, (_, *shape), _ = arrays(attrs)[f"acts/{attrs['layers'][0]}"]
    per_image = np.dtype(dtype).itemsize * math.prod(shape)
    if attrs["chunk"] * per_image > LARGEST_CHUNK:
        size = attrs["chunk"] * per_image / 1e9
        raise SaevError(
            f"extract.chunk must be at most {max(1, LARGEST_CHUNK // per_image)}, got {attrs['chunk']}: "
            f"that many images are {size:.1f} GB, and a chunk is held in memory several times"
        )


def create(path: Path, attrs: dict) -> None:
    """Create the store with all its arrays, or clear what an interrupted run left of it.

    Raises:
        SaevError: the unfinished store there is another one; the line names what differs.
    """
    found = _unfinished(path)
    if found is not None:
        for key, value in attrs.items():
            if (other := found.attrs.get(key)) != value:
                raise SaevError(
                    f"{path}: the unfinished store there has {key} {shortened(other)}, this run "
                    f"{shortened(value)}; finish it with its own configuration, or delete it"
                )
        if all(find_array(found, key) is not None for key in arrays(attrs)):
            for leftover in path.rglob("*.partial"):
                leftover.unlink()
            return
    if path.exists():
        shutil.rmtree(path)  # arrays are missing, so nothing can be gone on with
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
    path.with_name("new").rename(path)  # whole or not at all


def _unfinished(path: Path) -> zarr.Group | None:
    """What an interrupted run left; None if it is nothing, or nothing that can be read."""
    try:
        return zarr.open_group(str(path), mode="r")
    except (OSError, ValueError, KeyError, TypeError):
        return None
