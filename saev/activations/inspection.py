"""What is in a store: is every byte as written, how fast does it read, which activations are outliers."""

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

from saev.activations.chunks import checksum, chunk_file
from saev.activations.order import Order, token_order
from saev.activations.schema import arrays, attributes, find_array, open_group, rows
from saev.machine import track


@dataclass
class Integrity:
    """The chunks of one array."""

    expected: int
    missing: list[int] = field(default_factory=list)
    """Numbers of the chunks that are not there."""
    damaged: list[int] = field(default_factory=list)
    """Numbers of the chunks whose bytes are not those that were written in their place."""


@dataclass(frozen=True)
class Outliers:
    """Norms and extreme dimensions of the tokens of one kind at one layer, over the chunks read.

    A massive activation is one with |x| > 100 and > 1000 times the median |x| (Sun et al.
    2024, arXiv 2402.17762). An artefact token is one with more than 3 times the median norm
    (Darcet et al. 2023, arXiv 2309.16588).
    """

    norms: tuple[float, float, float]
    """Median, 99th percentile and largest ||x||_2."""
    artefacts: float
    """Share of artefact tokens."""
    massive: int
    """Number of massive activations."""
    dimensions: list[tuple[int, float]]
    """The 3 dimensions with the largest root mean square, each as a multiple of the median dimension's."""


@dataclass(frozen=True)
class Inspection:
    """What `inspect_store` found."""

    attrs: dict
    shape: tuple[int, int, int]
    """(n_images, n_tokens, d)."""
    n_bytes: int
    """On disk."""
    integrity: dict[str, Integrity]
    """Per array."""
    outliers: dict[tuple[int, str], Outliers]
    """Per (layer, kind of token)."""
    order: dict[int, Order]
    """Of the patch tokens, per layer, where it can be told."""
    bytes_per_second: float
    """At which activations were read from the disk and verified."""

    @property
    def whole(self) -> bool:
        """Complete, every chunk there, every byte as written."""
        return self.attrs.get("complete") is True and not any(
            part.missing or part.damaged for part in self.integrity.values()
        )


def inspect_store(path: str | Path) -> Inspection:
    """Read every chunk of the store at `path`, which may be incomplete, and verify its checksum.

    Raises:
        SaevError: there is no store of this schema, or its attributes cannot be those of one.
    """
    path = Path(path)
    group = open_group(path)
    attrs = attributes(group)
    integrity = {key: Integrity(n_chunks) for key, n_chunks in _expected(attrs).items()}
    chunks: list[tuple[zarr.Array, int]] = []
    for key, part in integrity.items():
        array = find_array(group, key)
        if array is None:
            part.missing = list(range(part.expected))
        else:
            chunks += [(array, c) for c in range(array.nchunks)]
    checksums = _checksums(group, attrs)
    moments = {(layer, kind): Moments() for layer in attrs["layers"] for kind in attrs["spans"]}
    n_bytes, seconds, order = 0, 0.0, {}
    for array, c in track(chunks, "inspect", len(chunks), unit="chunks"):
        file = chunk_file(array, c)
        if not file.is_file():
            integrity[array.path].missing.append(c)
            continue
        _forget(file)
        started = time.perf_counter()
        try:
            values = rows(array, slice(c * array.chunks[0], (c + 1) * array.chunks[0]))
            if array.path in checksums and checksums[array.path][c] != checksum(file):
                raise ValueError("another chunk's")
        except ValueError:  # a wrong checksum or a wrong length
            integrity[array.path].damaged.append(c)
            continue
        if array.path.startswith("acts/"):
            seconds, n_bytes = seconds + time.perf_counter() - started, n_bytes + values.nbytes
            for kind, (first, last) in attrs["spans"].items():
                x_nd = values[:, first:last].reshape(-1, values.shape[-1])
                moments[int(array.basename), kind].add(x_nd)
            if c == 0 and "patch" in attrs["spans"]:
                patches = values[:, slice(*attrs["spans"]["patch"])]
                order[int(array.basename)] = token_order(patches, attrs["grid"])
    _, (n_images, n_tokens, d), _ = arrays(attrs)[f"acts/{attrs['layers'][0]}"]
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    outliers = {key: found.outliers() for key, found in moments.items() if found.count}
    order = {layer: found for layer, found in order.items() if found is not None}
    speed = n_bytes / seconds if seconds else 0.0
    return Inspection(attrs, (n_images, n_tokens, d), size, integrity, outliers, order, speed)


def _expected(attrs: dict) -> dict[str, int]:
    """Number of chunks of every array."""
    expected = {key: math.ceil(attrs["n_images"] / attrs["chunk"]) for key in arrays(attrs)}
    if attrs.get("complete") is True:
        expected |= {f"checksums/{key}": 1 for key in arrays(attrs)}
        expected |= {f"stats/{layer}/{kind}/mean": 1 for layer in attrs["layers"] for kind in attrs["spans"]}
    return expected


def _checksums(group: zarr.Group, attrs: dict) -> dict[str, np.ndarray]:
    """Of each array, those of the chunks by their places; of a store that is not complete there are none."""
    found = {}
    for key in arrays(attrs):
        array = find_array(group, f"checksums/{key}")
        try:
            if array is not None and array.nchunks_initialized:
                found[key] = rows(array)
        except ValueError:  # damaged, which its own row says
            continue
    return found


def _forget(file: Path) -> None:
    """Drop a file from the page cache: the disk is to be verified and timed, not memory. (Linux only.)"""
    if hasattr(os, "posix_fadvise"):
        with open(file, "rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Moments:
    """What one row of the outlier table needs of each chunk; memory does not grow with the number of chunks.

    Quantiles of norms are those of a histogram in steps of 1 % of the norm.
    """

    EDGES = np.exp(np.arange(np.log(1e-4), np.log(1e8), 0.01))

    def __init__(self):
        self.square, self.count, self.massive, self.largest = 0.0, 0, 0, 0.0
        self.histogram = np.zeros(len(self.EDGES) + 1, np.int64)

    def add(self, x_nd: np.ndarray) -> None:
        """Take the tokens of a chunk; those of images that are not present (NaN) count for nothing."""
        x_nd = x_nd[np.isfinite(x_nd[:, 0])].astype(np.float32)
        if not len(x_nd):
            return
        squares = x_nd * x_nd
        norms = np.sqrt(squares.sum(1))
        self.square = self.square + squares.sum(0, dtype=np.float64)
        self.count += len(x_nd)
        self.largest = max(self.largest, float(norms.max()))
        self.histogram += np.bincount(np.searchsorted(self.EDGES, norms), minlength=len(self.EDGES) + 1)
        magnitudes = np.abs(x_nd)
        self.massive += int((magnitudes > max(100.0, 1000 * np.median(magnitudes[:256]))).sum())

    def outliers(self) -> Outliers:
        """The row of the table, of at least one token."""
        rms = np.sqrt(self.square / self.count)
        at = np.searchsorted(self.histogram.cumsum(), [0.5 * self.count, 0.99 * self.count])
        median, high = self.EDGES[np.minimum(at, len(self.EDGES) - 1)]
        artefacts = self.histogram[np.searchsorted(self.EDGES, 3 * median) :].sum() / self.count
        largest = np.argsort(-rms)[:3]
        return Outliers(
            norms=(float(median), float(high), self.largest),
            artefacts=float(artefacts),
            massive=self.massive,
            dimensions=[(int(i), float(rms[i] / np.median(rms))) for i in largest],
        )
