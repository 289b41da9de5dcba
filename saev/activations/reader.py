"""The arrays and attributes of a store, every read verified."""

import math
from functools import cached_property
from pathlib import Path

import numpy as np
import zarr

from saev.activations.chunks import chunk_file, read_chunk
from saev.activations.origin import Origin
from saev.activations.schema import array_of, attributes, damaged, open_group, rows
from saev.data.sample import IGNORE, NO_CLUSTER
from saev.errors import SaevError, first_line


class Reader:
    """What is recorded in a complete store; `Store` gives it out as tokens.

    Attributes:
        path: the group's directory.
        group: the Zarr group, read-only.
        attrs: its attributes, see saev/activations/schema.py.
        layers: recorded 0-based blocks.
        n_images, n_tokens, d: sizes.
        spans: range of each recorded kind of token along the token axis.
        grid: (rows, columns) of patches.
        classes: names of the labels.
        split: which part of the data it is, None where nobody said so.
        chunk: images per chunk.
        dtype: of the activations.

    Raises:
        SaevError: no store there, one that is incomplete, damaged or of another schema; on reading, a damaged
            chunk.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.group = open_group(self.path)
        self.attrs = attributes(self.group)
        if self.attrs.get("complete") is not True:
            raise SaevError(
                f"{path}: store is incomplete (attribute 'complete' is missing); "
                "run the extract stage to finish it"
            )
        self.layers = tuple(self.attrs["layers"])
        self._acts = {layer: array_of(self.group, f"acts/{layer}") for layer in self.layers}
        self._known: dict[str, np.ndarray] = {}
        first = self._acts[self.layers[0]]
        (self.n_images, self.n_tokens, self.d), self.dtype = first.shape, first.dtype
        self.spans = {kind: tuple(ends) for kind, ends in self.attrs["spans"].items()}
        self.grid, self.classes = tuple(self.attrs["grid"]), tuple(self.attrs["classes"])
        self.split, self.chunk = self.attrs["split"], self.attrs["chunk"]

    def __repr__(self) -> str:
        spans = ", ".join(f"{last - first} {kind}" for kind, (first, last) in self.spans.items())
        layers = ", ".join(map(str, self.layers))
        return (
            f"{type(self).__name__}({self.path}: {self.n_images:,} images x {self.n_tokens} tokens ({spans}) "
            f"x {self.d} {self.dtype}, layers {layers} of {self.attrs['backbone']})"
        )

    @property
    def n_chunks(self) -> int:
        return math.ceil(self.n_images / self.chunk)

    def layer(self, layer: int) -> int:
        """The recorded 0-based layer that `layer` means; -1 is the backbone's last block."""
        n = self.attrs["n_blocks"]
        index = layer % n if type(layer) is int and -n <= layer < n else None
        if index is None or index not in self.layers:
            raise SaevError(
                f"{self.path}: layer {layer} is not recorded; it holds {list(self.layers)}, "
                f"counted from 0 to {n - 1}"
            )
        return index

    def origin(self, layer: int, kinds: tuple[str, ...]) -> Origin:
        """The identity of the tokens of `kinds` after `layer`."""
        backbone, weights, geometry, data = (
            self.attrs[key] for key in ("backbone", "weights", "geometry", "data")
        )
        return Origin(backbone, weights, geometry, self.layer(layer), tuple(kinds), data)

    def acts(self, layer: int) -> zarr.Array:
        """Activations after block `layer`, (n_images, n_tokens, d); read slices, never index lists."""
        return self._acts[self.layer(layer)]

    def chunk_file(self, layer: int, c: int) -> Path:
        """Where chunk c of a layer lies."""
        return chunk_file(self.acts(layer), c)

    def read_chunk(self, layer: int, c: int, buffer: np.ndarray | None = None) -> np.ndarray:
        """All tokens of the images of chunk c, (b, n_tokens, d), verified.

        Args:
            buffer: memory to read into, (chunk, n_tokens, d) in the store's dtype; fresh memory costs page
                faults.
        """
        if buffer is None:
            buffer = np.empty((self.chunk, self.n_tokens, self.d), self.dtype)
        read_chunk(self.chunk_file(layer, c), buffer, int(self._checksums(f"acts/{self.layer(layer)}")[c]))
        return buffer[: self.n_images - c * self.chunk]  # the last chunk is filled up

    def norms(self, layer: int) -> np.ndarray:
        """||x||_2 of every token, (n_images, n_tokens) float32."""
        return self._read(f"norms/{self.layer(layer)}")

    @cached_property
    def present(self) -> np.ndarray:
        """(n_images,) bool: whether the image could be decoded."""
        return self._read("labels/present")

    def patch_labels(self) -> np.ndarray:
        """(n_images, rows * columns) uint16, 65535 = ignore."""
        return self._labels("labels/patch")

    def image_labels(self) -> np.ndarray:
        """(n_images,) uint16, 65535 = unknown."""
        return self._labels("labels/image")

    def concepts(self) -> np.ndarray:
        """(n_images, units, concepts) int8, see `saev.data.sample.Regions`; empty if none are described."""
        if not self.attrs["concepts"]:
            return np.zeros((self.n_images, 0, 0), np.int8)
        values = self._read("labels/concepts")
        if wrong := int((abs(values) > 1).sum()):
            raise damaged(self.group, "labels/concepts", f"{wrong} values are none of 1, 0, -1")
        return values

    def cluster(self) -> np.ndarray:
        """(n_images, units) uint32, an index into the attribute `clusters`, or where that is empty the number
        of the image; 2^32 - 1 of none. Empty if nothing is described."""
        if not self.attrs["described"]:
            return np.zeros((self.n_images, 0), np.uint32)
        values, n = self._read("labels/cluster"), len(self.attrs["clusters"]) or self.n_images
        if (wrong := values[(values >= n) & (values != NO_CLUSTER)]).size:
            raise damaged(self.group, "labels/cluster", f"cluster {wrong[0]} of {n}")
        return values

    def mean(self, layer: int, kind: str) -> np.ndarray:
        """(d,) float64 mean vector of the tokens of one kind, see `normalisation.statistics`."""
        return self._whole(f"stats/{self.layer(layer)}/{kind}/mean")

    def scale(self, layer: int, kind: str) -> float:
        """E||x - mean|| / sqrt(d) of the tokens of one kind."""
        return self.attrs["stats"][str(self.layer(layer))][kind]["scale"]

    def _labels(self, key: str) -> np.ndarray:
        labels, n = self._read(key), len(self.classes)
        if (wrong := labels[(labels >= n) & (labels != IGNORE)]).size:
            raise damaged(self.group, key, f"label {wrong[0]} of {n} classes")
        return labels

    def _read(self, key: str) -> np.ndarray:
        """All of a per-image array other than the activations, verified, known to be whole and in order."""
        array, checksums = array_of(self.group, key), self._checksums(key)
        values = np.empty((array.nchunks * self.chunk, *array.shape[1:]), array.dtype)
        for c in range(array.nchunks):
            part = values[c * self.chunk : (c + 1) * self.chunk]
            read_chunk(chunk_file(array, c), part, int(checksums[c]))
        return values[: self.n_images]  # the last chunk is filled up

    def _checksums(self, key: str) -> np.ndarray:
        """(chunks,) of the chunks of an array, by their places."""
        if key not in self._known:
            self._known[key] = self._whole(f"checksums/{key}")
        return self._known[key]

    def _whole(self, key: str) -> np.ndarray:
        """All of an array, verified, and known to be whole."""
        array = array_of(self.group, key)
        try:
            if missing := array.nchunks - array.nchunks_initialized:  # zarr reads them as the fill value
                raise ValueError(f"{missing} of its {array.nchunks} chunks are missing")
            return rows(array)
        except ValueError as error:  # also zarr's, of a checksum
            raise damaged(self.group, key, first_line(error)) from None
