"""What a store is of: its options, its identity, and its empty arrays."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import zarr
from zarr.codecs import Crc32cCodec

from saev.activations.store import SCHEMA, brief
from saev.backbones.backbone import Backbone
from saev.checks import check_choice, check_int, check_number
from saev.data.sample import IGNORE, ImageDataset
from saev.errors import SaevError
from saev.files import publish

DTYPES = {"float16": torch.float16, "float32": torch.float32}
KINDS = ("cls", "register", "patch", "meanpool")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a store shall hold."""

    tokens: Sequence[str] | None = None
    """Kinds to record, of cls, register, patch and meanpool (the mean of the patch tokens); None: every token
    of the backbone. The model can only be continued from a store with all of them."""
    dtype: str = "float16"
    """float16 or float32. (Zarr has no bfloat16, whose 8 bits of mantissa would also lose more.)"""
    purity: float = 0.9
    """See `majority_labels`."""
    corrupt: str = "fatal"
    """What an image that cannot be decoded is: `fatal`, or `missing`: its activations are NaN, its labels are
    ignored, and the store names it."""
    chunk: int = 32
    """Images per chunk, the unit of writing, of resume and of sharing between processes."""
    batch_size: int = 16
    """Images per forward pass; 16 is fastest on a CPU, where 32 leaves the cache."""

    def __post_init__(self):
        for kind in self.tokens or ():
            check_choice("extract.tokens", kind, KINDS)
        check_choice("extract.dtype", self.dtype, tuple(DTYPES))
        check_number("extract.purity", self.purity, low=0, high=1)
        check_choice("extract.corrupt", self.corrupt, ("fatal", "missing"))
        check_int("extract.chunk", self.chunk, low=1)
        check_int("extract.batch_size", self.batch_size, low=1)


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
    tokens, end = {}, 0
    for kind in kinds:
        first, last = backbone.tokens.get(kind, (0, 1))
        tokens[kind] = [end, end := end + last - first]
    return {
        "schema": SCHEMA,
        "backbone": backbone.name,
        "weights": backbone.weights_hash(),
        "preprocess": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(backbone.preprocess).items()
        },
        "n_blocks": backbone.n_blocks,
        "d": backbone.d,
        "layers": layers,
        "grid": list(backbone.grid),
        "tokens": tokens,
        "backbone_tokens": {kind: list(ends) for kind, ends in backbone.tokens.items()},
        "dtype": options.dtype,
        "computed": computed,
        "data": images.fingerprint,
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
                    f"{path}: the unfinished store there has {key} {brief(found.get(key))}, this run {brief(value)}; "
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
    t, p = max(last for _, last in attrs["tokens"].values()), attrs["grid"][0] * attrs["grid"][1]
    return {
        **{f"acts/{layer}": (attrs["dtype"], (n, t, d), float("nan")) for layer in layers},
        **{f"norms/{layer}": ("float32", (n, t), float("nan")) for layer in layers},
        "labels/patch": ("uint16", (n, p), IGNORE),
        "labels/image": ("uint16", (n,), IGNORE),
        "labels/present": ("bool", (n,), False),
    }
