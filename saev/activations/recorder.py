"""Recording a store: images -> backbone -> Zarr, resumable after any interruption, by one process or many."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch
import zarr
from torch import Tensor
from torch.utils.data import DataLoader
from zarr.codecs import Crc32cCodec

from saev.activations.chunks import checksum, chunk_file
from saev.activations.normalisation import statistics
from saev.activations.order import token_order
from saev.activations.recording import Recording, create, identity
from saev.activations.schema import FILES, array_of, arrays, attributes, digest_of, rows
from saev.activations.store import Store
from saev.backbones.backbone import Backbone
from saev.data.preprocess import Item, Prepared
from saev.data.sample import IGNORE, NO_CLUSTER, ImageDataset
from saev.errors import SaevError
from saev.files import os_error
from saev.machine import Machine, distributed
from saev.machine.progress import Progress, say
from saev.outputs import staged

KNOWN = ("labels/patch", "labels/image", "labels/present", "labels/concepts", "labels/cluster")
"""Arrays that hold the fields of an `Item` after its pixels, in their order."""


def record(
    backbone: Backbone,
    images: ImageDataset,
    out: str | Path,
    *,
    working: Path,
    options: Recording,
    machine: Machine,
) -> Store:
    """Record the activations of every image, in one pass, into the store `out`.

    In a torch.distributed group, process r records the chunks r, r + world, ...; every
    process calls this, and the store has the bytes that one process would have written.

    Args:
        working: directory for the unfinished store, on a disk that all processes see. If a run dies, the
            next one with the same `working` continues at the first missing chunk and gives the same bytes.

    Raises:
        SaevError: a layer out of range, tokens that the backbone lacks, no images, an image that cannot be
            decoded, a label without a class, an activation that is NaN or beyond the dtype (named by layer
            and image), or an unfinished store in `working` of another configuration (the key is named).
        OSError: the disk is full.
    """
    outputs = []
    with ExitStack() as stack:
        distributed.by_the_first(lambda: outputs.extend(stack.enter_context(staged((out, FILES)))))
        finished = record_in(working, backbone, images, options, machine)
        for output in outputs:
            output.take(finished)
        distributed.by_the_first(stack.close)
    if outputs and finished.exists():  # it lay on another disk
        shutil.rmtree(finished)
    return Store(out)


def record_in(
    working: Path, backbone: Backbone, images: ImageDataset, options: Recording, machine: Machine
) -> Path:
    """As `record`, but leave the finished store in `working`, from where the first process, to whom alone it
    now belongs, can put it in its place."""
    partial = working / "store"
    attrs = identity(backbone, images, options, machine)
    try:
        distributed.by_the_first(lambda: create(partial, attrs))
        group = zarr.open_group(str(partial), mode="r+")
        _record_chunks(backbone, images, group, machine)
        distributed.barrier()
        distributed.by_the_first(lambda: _finish(group, images))
    except OSError as error:
        raise os_error(error, partial) from None
    return partial


def _record_chunks(backbone: Backbone, images: ImageDataset, group: zarr.Group, machine: Machine) -> None:
    """Compute and write this process's share of the chunks that are not yet there."""
    attrs = attributes(group)
    n, size = attrs["n_images"], attrs["chunk"]
    # zarr does not store this setting, and without it never writes a chunk of zeros.
    targets = {key: array_of(group, key).with_config({"write_empty_chunks": True}) for key in arrays(attrs)}
    chunks = [range(first, min(first + size, n)) for first in range(0, n, size)]
    share = chunks[distributed.rank() :: distributed.world()]
    # zarr writes a chunk beside its place and renames it: the file is there whole or not at all.
    todo = [chunk for chunk in share if not all(_written(array, chunk) for array in targets.values())]
    what, n_share = f"extract {attrs['split'] or ''}".strip(), sum(map(len, share))
    done = n_share - sum(map(len, todo))
    backbone = backbone.to(machine.device)
    with (
        closing(Progress(what, n_share, "images", done=done)) as progress,
        ThreadPoolExecutor(1) as writer,
        torch.inference_mode(),
    ):
        pending = None  # the write of the chunk before, which overlaps this one's computation
        batches = _load(backbone, images, attrs, todo, machine.loaders)
        for chunk, (pixels, labels) in zip(todo, batches, strict=True):
            acts = _activations(backbone, pixels, attrs, machine)
            labels = {key: labels[key] for key in labels.keys() & targets.keys()}
            for layer, x_btd in acts.items():
                _check_range(x_btd, layer, chunk, images)
            _check_labels(labels, attrs, chunk, images)
            values = _values(acts, labels)
            if pending is not None:
                pending.result()
            pending = writer.submit(_write, targets, chunk, values)
            done += len(chunk)
            progress.update(done)
        if pending is not None:
            pending.result()


def _load(
    backbone: Backbone, images: ImageDataset, attrs: dict, chunks: list[range], workers: int
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yield the pixels (b, h, w, 3) of each chunk, and what else is known of its images by the arrays that
    hold it."""
    prepared = Prepared(
        images,
        backbone.preprocess,
        backbone.grid,
        purity=attrs["purity"],
        corrupt_ok=attrs["corrupt"] == "missing",
    )
    loader = DataLoader(
        prepared,
        batch_sampler=map(list, chunks),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        pin_memory=next(backbone.parameters()).is_cuda,
        collate_fn=_stack,
    )
    try:
        yield from loader
    except SaevError as error:
        message = str(error.args[0]).strip()  # as torch put it together, of several lines
        if "Original Traceback" in message:  # from a worker process; the last line is `type: message`
            message = message.splitlines()[-1].partition(": ")[2]
        raise SaevError(message) from None


def _stack(items: list[Item]) -> tuple[Tensor, dict[str, Tensor]]:
    pixels, *known = (torch.from_numpy(np.stack(field)) for field in zip(*items, strict=True))
    return pixels, dict(zip(KNOWN, known, strict=True))


def _activations(backbone: Backbone, pixels: Tensor, attrs: dict, machine: Machine) -> dict[int, Tensor]:
    """(b, h, w, 3) uint8 -> of each layer the tokens (b, t, d) to record, in the store's dtype."""
    layers, dtype = attrs["layers"], getattr(torch, attrs["dtype"])
    batches: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for part in pixels.split(min(attrs["batch_size"], len(pixels))):
        inputs = backbone.preprocess.normalise(part.to(machine.device, non_blocking=True))
        with machine.autocast():
            residuals = backbone.prefix(inputs, layers)
        for layer, x_btd in zip(layers, residuals, strict=True):
            by_kind = {kind: x_btd[:, slice(*ends)] for kind, ends in backbone.tokens.items()}
            by_kind["meanpool"] = by_kind["patch"].float().mean(1, keepdim=True)
            batches[layer].append(torch.cat([by_kind[kind].to(dtype) for kind in attrs["spans"]], 1))
    return {layer: torch.cat(parts) for layer, parts in batches.items()}


def _check_range(x_btd: Tensor, layer: int, chunk: range, images: ImageDataset) -> None:
    """Raise SaevError if a value is not finite: it would silently poison every later mean."""
    bad = ~x_btd.isfinite().flatten(1).all(1)
    if bad.any():
        b = int(bad.nonzero()[0, 0])
        dtype, largest = str(x_btd.dtype).removeprefix("torch."), torch.finfo(x_btd.dtype).max
        what = "is NaN" if x_btd[b].isnan().any() else f"does not fit {dtype} (at most {largest:g})"
        i = chunk[b]
        raise SaevError(f"layer {layer}, image {i} ({images.name(i)}): an activation {what}")


def _check_labels(labels: dict[str, Tensor], attrs: dict, chunk: range, images: ImageDataset) -> None:
    """Raise SaevError if a label names no class or cluster: it would be found hours later, or not at all."""
    named = {"labels/image": ("classes", IGNORE), "labels/patch": ("classes", IGNORE)}
    named |= {"labels/cluster": ("clusters", NO_CLUSTER)} if attrs["described"] else {}
    for key, (names, unknown) in named.items():
        if names == "clusters" and not attrs[names]:  # each image is one
            continue
        of_image = labels[key].numpy().reshape(len(chunk), -1)
        wrong = (of_image >= len(attrs[names])) & (of_image != unknown)
        if wrong.any():
            b = int(wrong.any(1).argmax())
            name, label = images.name(chunk[b]), of_image[b][wrong[b]][0]
            raise SaevError(
                f"image {chunk[b]} ({name}): label {label}, but the data have {len(attrs[names])} {names}"
            )


def _values(acts: dict[int, Tensor], labels: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """What is written of one chunk, by the key of its array; NaN where an image is not present."""
    values, absent = dict(labels), ~labels["labels/present"]
    for layer, x_btd in acts.items():
        norms_bt = x_btd.float().norm(dim=-1)
        x_btd[absent], norms_bt[absent] = torch.nan, torch.nan
        values |= {f"acts/{layer}": x_btd, f"norms/{layer}": norms_bt}
    return {key: value.cpu().numpy() for key, value in values.items()}


def _write(targets: dict[str, zarr.Array], chunk: range, values: dict[str, np.ndarray]) -> None:
    for key, array in targets.items():
        array[chunk.start : chunk.stop] = values[key]


def _written(array: zarr.Array, chunk: range) -> bool:
    """Whether a chunk is there and, since power may fail before the disk has all of it, as it was written."""
    if not chunk_file(array, chunk.start // array.chunks[0]).is_file():
        return False
    try:
        array[chunk.start : chunk.stop]
    except ValueError:
        return False
    return True


def _finish(group: zarr.Group, images: ImageDataset) -> None:
    """Statistics, checksums, the names of missing images, the mark of completeness."""
    attrs, present = attributes(group), rows(array_of(group, "labels/present"))
    if not present.any():
        raise SaevError(
            f"{images.name(0)}: cannot be decoded, and no other of the {len(present)} images either"
        )
    group.attrs["missing"] = [images.name(int(i)) for i in np.flatnonzero(~present)]
    stats: dict[str, dict] = {}
    for layer in attrs["layers"]:
        for kind, ends in attrs["spans"].items():
            mean, scalars = statistics(group, layer, np.arange(*ends))
            _put(group, f"stats/{layer}/{kind}/mean", mean)
            stats.setdefault(str(layer), {})[kind] = scalars
    group.attrs["stats"] = stats
    for key in arrays(attrs):
        array = array_of(group, key)
        of_chunks = [checksum(chunk_file(array, c)) for c in range(array.nchunks)]
        _put(group, f"checksums/{key}", np.array(of_chunks, np.uint32))
    _doubt_order(attrs, group)
    group.attrs["sha256"] = digest_of(attributes(group))
    group.attrs["complete"] = True


def _put(group: zarr.Group, key: str, values: np.ndarray) -> None:
    """Write a whole array as one chunk."""
    options = {"shape": values.shape, "chunks": values.shape, "dtype": values.dtype}
    group.require_array(key, **options, compressors=Crc32cCodec())[:] = values


def _doubt_order(attrs: dict, group: zarr.Group) -> None:
    """Say it if the patches do not look as if they were in the order of the grid. Only said, because images
    of noise look so too."""
    if "patch" not in attrs["spans"]:
        return
    layer, (first, last) = attrs["layers"][-1], attrs["spans"]["patch"]
    x_btd = rows(array_of(group, f"acts/{layer}"), slice(attrs["chunk"]))
    order = token_order(x_btd[:, first:last], attrs["grid"])
    if order is not None and not order.is_grid:
        what = f"extract {attrs['split'] or ''}".strip()
        say(
            f"{what}: warning: the patch tokens of layer {layer} may not be in the order of the grid: {order}"
        )
