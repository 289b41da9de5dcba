"""Recording a store: images -> backbone -> Zarr, resumable after any interruption, by one process or many."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import zarr
from torch import Tensor
from torch.utils.data import DataLoader
from zarr.codecs import Crc32cCodec

from saev.activations.chunks import chunk_file
from saev.activations.normalisation import normalisation
from saev.activations.schema import DTYPES, Recording, arrays, create, identity
from saev.activations.store import Store
from saev.backbones.backbone import Backbone
from saev.data.preprocess import Prepared
from saev.data.sample import ImageDataset
from saev.errors import SaevError
from saev.files import publish
from saev.machine import distributed
from saev.machine.machine import autocast, use_bf16
from saev.machine.progress import track


def record(
    backbone: Backbone,
    images: ImageDataset,
    out: str | Path,
    *,
    layers: Sequence[int],
    working: Path,
    options: Recording = Recording(),  # noqa: B008 (frozen)
    workers: int | None = None,
    precision: str = "auto",
    device: str | torch.device = "cpu",
) -> Store:
    """Record the activations of every image after each of `layers` into the store `out`.

    In a torch.distributed group, process r records the chunks r, r + world, ...; every
    process calls this, and the store has the bytes that one process would have written.

    Args:
        working: directory for the unfinished store, on a disk that all processes see. If a run dies, the
            next one with the same `working` continues at the first missing chunk and gives the same bytes.
        workers: processes that load images. None: with a GPU one per core, at most 8. On a CPU a quarter of the
            cores: whatever core they take, all threads of the model's matrix products wait for (2 cores, JPEGs
            of 256 px: 24.3 images/s without workers, 22.0 with one, 25.8 by the bare model).
        precision: of the backbone's matrix products, `auto`, `fp32` or `bf16`.

    Raises:
        SaevError: a layer out of range, tokens that the backbone lacks, an image that cannot be decoded, an
            activation that is NaN or beyond the dtype (named by layer and image), or an unfinished store in
            `working` of another configuration (the key is named).
        OSError: the disk is full.
    """
    layers = [backbone.layer_index(layer) for layer in layers]
    partial = working / "store"
    computed = f"{'bf16' if use_bf16(precision, device) else 'fp32'} on {torch.device(device).type}"
    distributed.by_the_first(lambda: create(partial, identity(backbone, images, layers, options, computed)))
    group = zarr.open_group(str(partial), mode="r+")
    _record_chunks(
        backbone,
        images,
        group,
        partial,
        options,
        _loaders(device) if workers is None else workers,
        precision,
        device,
    )
    distributed.barrier()
    distributed.by_the_first(lambda: _finish(group, images, partial, Path(out)))
    return Store(out)


def _record_chunks(
    backbone: Backbone,
    images: ImageDataset,
    group: zarr.Group,
    path: Path,
    options: Recording,
    workers: int,
    precision: str,
    device: str | torch.device,
) -> None:
    """Compute and write this process's share of the chunks that are not yet there."""
    layers, chunk = group.attrs["layers"], options.chunk
    # zarr does not store this setting, and without it never writes a chunk of zeros.
    targets = [group[key].with_config({"write_empty_chunks": True}) for key in arrays(dict(group.attrs))]
    mine = range(distributed.rank(), -(-len(images) // chunk), distributed.world())
    # zarr writes a chunk beside its place and renames it: the file is there whole or not at all.
    todo = [c for c in mine if not all(_written(path, array, c) for array in targets)]
    members = [range(c * chunk, min((c + 1) * chunk, len(images))) for c in todo]
    prepared = Prepared(
        images,
        backbone.preprocess,
        backbone.grid,
        purity=options.purity,
        corrupt_ok=options.corrupt == "missing",
    )
    on_gpu = torch.device(device).type == "cuda"
    loader = DataLoader(
        prepared,
        batch_sampler=members,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        pin_memory=on_gpu,
        collate_fn=_collate,
    )
    backbone, kinds = backbone.to(device), list(group.attrs["tokens"])
    with ThreadPoolExecutor(1) as writer, torch.inference_mode():
        pending = None  # the write of the chunk before, which overlaps this one's computation
        done = sum(map(len, members))
        for of, (pixels, *labels) in zip(
            members, track(_batches(loader), "extract", done, size=chunk), strict=True
        ):
            present = labels[-1]
            acts = _activations(backbone, pixels, layers, kinds, options, precision, device)
            norms = [x.float().norm(dim=-1) for x in acts]
            for layer, x, lengths in zip(layers, acts, norms, strict=True):
                _check_range(x, layer, of.start, images)
                x[~present], lengths[~present] = torch.nan, torch.nan
            values = [x.cpu().numpy() for x in (*acts, *norms, *labels)]  # in the order of `arrays`
            if pending is not None:
                pending.result()
            pending = writer.submit(_write, targets, slice(of.start, of.stop), values)
        if pending is not None:
            pending.result()


def _loaders(device: str | torch.device) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores) if torch.device(device).type == "cuda" else cores // 4


def _collate(samples: list[tuple]) -> list[Tensor]:
    return [torch.from_numpy(np.stack(column)) for column in zip(*samples, strict=True)]


def _batches(loader: DataLoader) -> Iterator[list[Tensor]]:
    try:
        yield from loader
    except SaevError as error:
        message = str(error.args[0]).strip()  # as torch put it together, of several lines
        if "Original Traceback" in message:  # from a worker process; the last line is `type: message`
            message = message.splitlines()[-1].partition(": ")[2]
        raise SaevError(message) from None


def _activations(
    backbone: Backbone,
    pixels: Tensor,
    layers: list[int],
    kinds: list[str],
    options: Recording,
    precision: str,
    device: str | torch.device,
) -> list[Tensor]:
    """(b, h, w, 3) uint8 -> per layer the tokens of `kinds` (b, t, d) in the store's dtype, on the device."""
    out: list[list[Tensor]] = [[] for _ in layers]
    for part in pixels.split(options.batch_size):
        inputs = backbone.preprocess.normalise(part.to(device, non_blocking=True))
        with autocast(precision, device):
            found = backbone.prefix(inputs, layers)
        for chosen, tokens in zip(out, found, strict=True):
            parts = {kind: tokens[:, slice(*ends)] for kind, ends in backbone.tokens.items()}
            parts["meanpool"] = parts["patch"].float().mean(1, keepdim=True)
            chosen.append(torch.cat([parts[kind].to(DTYPES[options.dtype]) for kind in kinds], 1))
    return [torch.cat(parts) for parts in out]


def _written(store: Path, array: zarr.Array, c: int) -> bool:
    """Whether chunk c is there and, since power may have failed before the disk had all of it, as it was written."""
    if not chunk_file(store, array, c).is_file():
        return False
    try:
        array[c * array.chunks[0] : (c + 1) * array.chunks[0]]
    except ValueError:
        return False
    return True


def _check_range(acts: Tensor, layer: int, first: int, images: ImageDataset) -> None:
    """Raise unless every value of `acts` (b, t, d) is finite; one that is not would silently poison every later mean."""
    bad = ~acts.isfinite().flatten(1).all(1)
    if bad.any():
        b = int(bad.nonzero()[0, 0])
        dtype = str(acts.dtype).removeprefix("torch.")
        what = (
            "is NaN"
            if acts[b].isnan().any()
            else f"does not fit {dtype} (at most {torch.finfo(acts.dtype).max:g})"
        )
        raise SaevError(f"layer {layer}, image {first + b} ({images.name(first + b)}): an activation {what}")


def _write(targets: list[zarr.Array], images: slice, values: list[np.ndarray]) -> None:
    for array, value in zip(targets, values, strict=True):
        array[images] = value


def _finish(group: zarr.Group, images: ImageDataset, partial: Path, out: Path) -> None:
    """Statistics, the names of missing images, the mark of completeness; then the store goes to its place."""
    present = group["labels/present"][:]
    if not present.any():
        raise SaevError(
            f"{images.name(0)}: cannot be decoded, and no other of the {len(present)} images either"
        )
    group.attrs["missing"] = [images.name(int(i)) for i in np.flatnonzero(~present)]
    stats: dict[str, dict] = {}
    for layer in group.attrs["layers"]:
        for kind, ends in group.attrs["tokens"].items():
            mean, scalars = normalisation(group, layer, np.arange(*ends))
            where = f"stats/{layer}/{kind}/mean"
            group.require_array(where, shape=mean.shape, dtype="float64", compressors=Crc32cCodec())[:] = mean
            stats.setdefault(str(layer), {})[kind] = scalars
    group.attrs["stats"] = stats
    group.attrs["complete"] = True
    publish(partial, out)
