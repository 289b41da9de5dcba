"""Recording a store: images -> backbone -> Zarr, resumable after any interruption."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import zarr
from torch.utils.data import DataLoader

from saev.activations.statistics import normalisation
from saev.activations.store import SCHEMA, Store
from saev.backbones.backbone import Backbone
from saev.data.preprocess import Prepared
from saev.data.sample import ImageDataset
from saev.errors import SaevError
from saev.files import publish
from saev.options import check_int, check_number
from saev.precision import autocast
from saev.progress import track

FLOAT16_MAX = 65504.0


def record(
    backbone: Backbone,
    images: ImageDataset,
    out: str | Path,
    *,
    layers: Sequence[int],
    working: Path,
    purity: float = 0.9,
    chunk: int = 32,
    batch_size: int = 16,
    workers: int = 2,
    precision: str = "auto",
    device: str = "cpu",
) -> Store:
    """Record the activations of every image after each of `layers` into the store `out`.

    Args:
        working: directory for the unfinished store. If a run dies, the next one with the same
            `working` continues at the first missing chunk and gives the same bytes.
        purity: see `majority_labels`.
        chunk: images per chunk, the unit of writing and of resume.
        batch_size: images per forward pass; 16 is fastest on a CPU, where 32 leaves the cache.
        workers: processes that load images.
        precision: of the backbone's matrix products, `auto`, `fp32` or `bf16`.

    Raises:
        SaevError: a layer out of range, an image that cannot be decoded, an activation that
            is NaN or beyond float16 (named by layer and image).
    """
    check_int("chunk", chunk, low=1)
    check_int("batch_size", batch_size, low=1)
    check_number("purity", purity, low=0, high=1)
    layers = [backbone.layer_index(layer) for layer in layers]
    partial = working / "store"
    group = _open(partial, backbone, images, layers, chunk)
    keys = [*(f"acts/{layer}" for layer in layers), "labels/patch", "labels/image"]
    # zarr does not store this setting, and without it never writes a chunk of zeros.
    targets = [group[key].with_config({"write_empty_chunks": True}) for key in keys]

    # zarr writes a chunk beside its place and renames it: the file is there whole or not at all.
    todo = [c for c in range(-(-len(images) // chunk)) if not all(_written(partial, array, c) for array in targets)]
    members = [range(c * chunk, min((c + 1) * chunk, len(images))) for c in todo]
    loader = DataLoader(
        Prepared(images, backbone.preprocess, backbone.grid, purity), batch_sampler=members,
        num_workers=workers, prefetch_factor=2 if workers else None,
    )  # fmt: skip
    backbone = backbone.to(device)
    with ThreadPoolExecutor(1) as writer, torch.inference_mode(), autocast(precision, device):
        pending = None  # the write of the chunk before, which overlaps this one's computation
        for of, (pixels, *labels) in zip(members, track(_batches(loader), "extract", len(images), size=chunk), strict=True):
            parts = [backbone.prefix(part.to(device), layers) for part in pixels.split(batch_size)]
            acts = [torch.cat(layer_parts).float().cpu().numpy() for layer_parts in zip(*parts, strict=True)]
            for layer, values in zip(layers, acts, strict=True):
                _check_range(values, layer, of.start)
            if pending is not None:
                pending.result()
            pending = writer.submit(_write, targets, slice(of.start, of.stop), [*acts, *map(np.asarray, labels)])
        if pending is not None:
            pending.result()

    for layer in layers:
        mean, scalars = normalisation(group[f"acts/{layer}"], backbone.n_special, chunk)
        group.require_array(f"stats/{layer}/mean", shape=mean.shape, dtype="float64")[:] = mean
        group.attrs["stats"] = {**group.attrs.get("stats", {}), str(layer): scalars}
    group.attrs["complete"] = True
    publish(partial, out)
    return Store(out)


def _batches(loader: DataLoader) -> Iterator[list[torch.Tensor]]:
    try:
        yield from loader
    except SaevError as error:
        # From a worker process it arrives with the worker's traceback as its message.
        raise SaevError(str(error).rpartition("SaevError: ")[2].strip()) from None


def _open(path: Path, backbone: Backbone, images: ImageDataset, layers: list[int], chunk: int) -> zarr.Group:
    """Create the store with all its arrays, or reopen one that an interrupted run left."""
    attrs = {
        "schema": SCHEMA, "backbone": backbone.name, "weights": backbone.weights_hash(), "data": images.fingerprint,
        "n_blocks": backbone.n_blocks, "layers": layers, "grid": list(backbone.grid), "n_special": backbone.n_special, "chunk": chunk,
        "classes": list(images.classes),
    }  # fmt: skip
    try:
        group = zarr.open_group(str(path), mode="r+")
        if all(group.attrs.get(key) == value for key, value in attrs.items()):
            for leftover in path.rglob("*.partial"):
                leftover.unlink()
            return group
    except FileNotFoundError:
        pass
    group = zarr.open_group(str(path), mode="w", attributes=attrs)
    n, t = len(images), backbone.n_tokens
    shapes = {f"acts/{layer}": ("float16", (n, t, backbone.d)) for layer in layers}
    shapes |= {"labels/patch": ("uint8", (n, t - backbone.n_special)), "labels/image": ("uint8", (n,))}
    for key, (dtype, shape) in shapes.items():
        group.create_array(key, shape=shape, chunks=(chunk, *shape[1:]), dtype=dtype, compressors=None)
    return group


def _written(store: Path, array: zarr.Array, c: int) -> bool:
    key = array.metadata.encode_chunk_key((c, *[0] * (array.ndim - 1)))
    return (store / array.path / key).is_file()


def _check_range(acts: np.ndarray, layer: int, first: int) -> None:
    """Raise unless float16 can hold `acts` (b, t, d); an inf would silently poison every later mean."""
    bad = ~(np.abs(acts).max(axis=(1, 2)) <= FLOAT16_MAX)  # NaN compares false
    if bad.any():
        raise SaevError(
            f"layer {layer}, image {first + int(bad.argmax())}: activation of magnitude "
            f"{np.abs(acts[bad.argmax()]).max():g} does not fit float16 (at most {FLOAT16_MAX:g})"
        )


def _write(targets: list[zarr.Array], images: slice, values: list[np.ndarray]) -> None:
    for array, value in zip(targets, values, strict=True):
        array[images] = value.astype(array.dtype)
