"""Reading a store.

    acts/<layer>               float16 or float32 (n_images, n_tokens, d)   residual stream after block <layer>
    norms/<layer>              float32 (n_images, n_tokens)                 ||x||_2 of those values
    labels/image               uint16  (n_images,)                          65535 = unknown
    labels/patch               uint16  (n_images, n_patches)                65535 = ignore
    labels/present             bool    (n_images,)                          false: the image could not be decoded
    stats/<layer>/<kind>/mean  float64 (d,)
    attributes                 schema, backbone, weights, preprocess, n_blocks, layers, grid, tokens, backbone_tokens,
                               dtype, data, classes, chunk; then stats (scalars per layer and kind) and missing (names
                               of the images not present); and complete, written last

`tokens` gives the range of each kind along the token axis: cls, register, patch, meanpool.
The activations of an image that is not present are NaN, so that nobody averages over them
without noticing.

Any Zarr v3 reader opens it. Arrays are uncompressed (zstd wins 7 % on activations and
costs 4x the time) in plain chunks of whole images, which are also the unit of resume.
Every chunk carries a CRC32C (Zarr's own codec), verified at every read.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import zarr

from saev.activations.chunks import read_chunk
from saev.activations.normalisation import normalisation
from saev.errors import SaevError

SCHEMA = 2


class Store:
    """A complete store, read-only.

    Attributes:
        path: the group's directory.
        attrs: its attributes, see the module.
        n_images, n_tokens, d: sizes; n_patches is 0 where no patch tokens were recorded.
        tokens: range of each recorded kind along the token axis.
        grid: (rows, columns) of patches.
        classes: names of the labels.

    Raises:
        SaevError: no store there, one that is incomplete or of another schema, or, on reading, a damaged chunk.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._group = open_group(self.path)
        self.attrs = dict(self._group.attrs)
        if self.attrs.get("complete") is not True:
            raise SaevError(
                f"{path}: store is incomplete (attribute 'complete' is missing); run the extract stage to finish it"
            )
        self.layers = tuple(self.attrs["layers"])
        self.n_images, self.n_tokens, self.d = self._group[f"acts/{self.layers[0]}"].shape
        self.tokens = {kind: tuple(ends) for kind, ends in self.attrs["tokens"].items()}
        first, last = self.tokens.get("patch", (0, 0))
        self.n_patches, self.grid = last - first, tuple(self.attrs["grid"])
        self.classes = tuple(self.attrs["classes"])
        self.chunk = self.attrs["chunk"]
        self._whole: dict[str, zarr.Array] = {}  # arrays of which no chunk is missing

    @property
    def n_chunks(self) -> int:
        return -(-self.n_images // self.chunk)

    def layer(self, layer: int) -> int:
        """The recorded 0-based layer that `layer` means; -1 is the backbone's last block."""
        n = self.attrs["n_blocks"]
        index = layer % n if isinstance(layer, int) and -n <= layer < n else None
        if index not in self.layers:
            raise SaevError(
                f"{self.path}: layer {layer} is not recorded; it holds {list(self.layers)}, counted from 0 to {n - 1}"
            )
        return index

    def positions(self, kinds: Sequence[str]) -> np.ndarray:
        """Indices along the token axis of the tokens of `kinds`."""
        if not kinds or set(kinds) - set(self.tokens):
            raise SaevError(f"{self.path}: tokens must name some of {list(self.tokens)}, got {list(kinds)}")
        return np.concatenate([np.arange(*self.tokens[kind]) for kind in self.tokens if kind in kinds])

    def acts(self, layer: int) -> zarr.Array:
        """Activations after block `layer`, (n_images, n_tokens, d); read slices, never index lists."""
        return self._group[f"acts/{self.layer(layer)}"]

    def norms(self, layer: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """||x||_2 of every token, (n_images, n_tokens) float32; of images start..stop."""
        return self._small(f"norms/{self.layer(layer)}", start, stop)

    def chunk_file(self, layer: int, c: int) -> Path:
        """Where chunk c of a layer lies: Zarr's default key of a chunk of whole images."""
        return self.path / f"acts/{self.layer(layer)}/c/{c}/0/0"

    def read_chunk(self, layer: int, c: int, buffer: np.ndarray | None = None) -> np.ndarray:
        """All recorded tokens of the images of chunk c, (b, n_tokens, d), verified; into `buffer` if one of a chunk's size is given."""
        buffer = (
            np.empty((self.chunk, self.n_tokens, self.d), self.attrs["dtype"]) if buffer is None else buffer
        )
        read_chunk(self.chunk_file(layer, c), buffer)
        return buffer[: self.n_images - c * self.chunk]  # the last chunk is filled up

    def read(self, layer: int, start: int, stop: int) -> np.ndarray:
        """All recorded tokens of images start..stop, (stop - start, n_tokens, d), verified."""
        start, stop, _ = slice(start, stop).indices(self.n_images)
        first = start // self.chunk
        parts = [self.read_chunk(layer, c) for c in range(first, -(-stop // self.chunk))]
        acts = (
            parts[0]
            if len(parts) == 1
            else np.concatenate([np.empty((0, self.n_tokens, self.d), self.attrs["dtype"]), *parts])
        )
        return acts[start - first * self.chunk : stop - first * self.chunk]

    def patches(self, layer: int, start: int, stop: int) -> np.ndarray:
        """Patch tokens of images start..stop, (stop - start, n_patches, d)."""
        return self.read(layer, start, stop)[:, self.positions(["patch"])]

    def residual(self, layer: int, images: np.ndarray) -> np.ndarray:
        """Every token of the backbone for the given images, (b, t, d): what `Backbone.suffix` continues from."""
        expected = self.attrs["backbone_tokens"]
        if absent := [kind for kind in expected if kind not in self.tokens]:
            raise SaevError(
                f"{self.path}: the model cannot continue from it without the {absent} tokens; record it with tokens: null"
            )
        return self.vectors(layer, images[:, None], np.arange(expected["patch"][1]))

    def ordered(
        self, layer: int, kinds: Sequence[str] = ("patch",), *, n_images: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (image numbers (b,), activations (b, t, d)), chunk by chunk; images that are not present are left out.

        A thread reads one chunk ahead.

        Args:
            n_images: stop after the first so many images of the store.
        """
        positions = self.positions(kinds)
        last = self.n_images if n_images is None else min(n_images, self.n_images)
        starts = range(0, last, self.chunk)
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self.read_chunk, layer, 0)
            for start in starts:
                acts = coming.result()
                if start != starts[-1]:
                    coming = reader.submit(self.read_chunk, layer, start // self.chunk + 1)
                here = np.flatnonzero(self.present[start : min(start + self.chunk, last)])
                yield start + here, acts[here[:, None], positions]

    def vectors(self, layer: int, images: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The activations of (images[i], tokens[i]) for all i, (n, d); tokens count along the token axis of the store.

        `images` and `tokens` broadcast: (b, 1) and (t,) give (b, t, d). Reads each chunk that is needed once.
        """
        images, tokens = np.broadcast_arrays(images, tokens)
        shape, images, tokens = images.shape, images.ravel(), tokens.ravel()
        if len(images) and not (
            0 <= images.min()
            and images.max() < self.n_images
            and 0 <= tokens.min()
            and tokens.max() < self.n_tokens
        ):
            raise IndexError(
                f"{self.path}: image or token out of range; it has {self.n_images} images of {self.n_tokens} tokens"
            )
        out = np.empty((len(images), self.d), self.attrs["dtype"])
        for c in np.unique(images // self.chunk):
            here = np.flatnonzero(images // self.chunk == c)
            acts = self.read_chunk(layer, int(c))
            out[here] = acts[images[here] - c * self.chunk, tokens[here]]
        return out.reshape(*shape, self.d)

    @cached_property
    def present(self) -> np.ndarray:
        """(n_images,) bool: whether the image could be decoded."""
        return self._small("labels/present")

    def patch_labels(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """(n_images, n_patches) uint16, 65535 = ignore; of images start..stop."""
        return self._small("labels/patch", start, stop)

    def image_labels(self) -> np.ndarray:
        """(n_images,) uint16, 65535 = unknown."""
        return self._small("labels/image")

    def _small(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows of an array other than the activations, verified, and known to be whole: zarr fills what is missing."""
        try:
            if key not in self._whole:
                array = self._group[key]
                if array.nchunks_initialized != array.nchunks:
                    raise ValueError(
                        f"{array.nchunks - array.nchunks_initialized} of its {array.nchunks} chunks are missing"
                    )
                self._whole[key] = array
            return self._whole[key][start:stop]
        except (KeyError, ValueError) as error:
            raise SaevError(f"{self.path}/{key}: damaged: {error}; record the store again") from None

    def normalisation(self, layer: int, kinds: Sequence[str] = ("patch",)) -> tuple[np.ndarray, float]:
        """Mean vector (d,) and scalar s = mean ||x - mean|| / sqrt(d) of the tokens of `kinds`, in float64."""
        layer = self.layer(layer)
        if len(kinds) == 1 and kinds[0] in self.tokens:
            return self._small(f"stats/{layer}/{kinds[0]}/mean"), self.attrs["stats"][str(layer)][kinds[0]][
                "scale"
            ]
        mean, scalars = normalisation(self._group, layer, self.positions(kinds))
        return mean, scalars["scale"]

    def check_same_model(self, other: "Store") -> None:
        """Raise SaevError unless both stores hold the same backbone's activations with the same classes."""
        for key in ("weights", "grid", "tokens", "layers", "classes"):
            if self.attrs[key] != other.attrs[key]:
                raise SaevError(
                    f"{other.path}: {key} is {brief(other.attrs[key])}, but {self.path} has {brief(self.attrs[key])}"
                )


def brief(value: object) -> str:
    """`value` for one line of an error."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def open_group(path: Path) -> zarr.Group:
    """The group of a store of this schema, complete or not, read-only. Raises SaevError if there is none."""
    if not (path / "zarr.json").is_file():
        raise SaevError(f"{path}: no activation store there; record one with the extract stage")
    try:
        group = zarr.open_group(str(path), mode="r")
    except Exception as error:  # zarr, json and the file system each raise their own
        raise SaevError(f"{path}: not an activation store ({str(error).splitlines()[0]})") from None
    if group.attrs.get("schema") != SCHEMA:
        raise SaevError(
            f"{path}: schema is {group.attrs.get('schema')!r}, this version reads {SCHEMA}; record it again"
        )
    return group
