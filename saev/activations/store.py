"""Reading a store.

    acts/<layer>        float16 (n_images, n_tokens, d)   residual stream after block <layer>
    labels/image        uint8   (n_images,)
    labels/patch        uint8   (n_images, n_patches)     255 = ignore
    stats/<layer>/mean  float64 (d,)                      over patch tokens
    attributes          schema, backbone, weights, n_blocks, grid, n_special, classes, data, chunk,
                        stats (scalars per layer), and complete, written last

Any Zarr v3 reader opens it. Arrays are uncompressed (zstd wins 7 % on activations and
costs 4x the time) in plain chunks of whole images, which are also the unit of resume.
"""

from pathlib import Path

import numpy as np
import zarr

from saev.errors import SaevError

SCHEMA = 1


class Store:
    """A complete store, read-only.

    Attributes:
        path: the group's directory.
        attrs: its attributes, see the module.
        n_images, n_tokens, n_special, d: sizes; patch tokens start at n_special.
        grid: (rows, columns) of patches.
        classes: names of the labels.

    Raises:
        SaevError: no store there, one that is incomplete, or of another schema.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not (self.path / "zarr.json").is_file():
            raise SaevError(f"{path}: no activation store there; record one with the extract stage")
        self._group = zarr.open_group(str(self.path), mode="r")
        self.attrs = dict(self._group.attrs)
        if self.attrs.get("schema") != SCHEMA:
            raise SaevError(f"{path}: schema is {self.attrs.get('schema')!r}, this version reads {SCHEMA}; record it again")
        if self.attrs.get("complete") is not True:
            raise SaevError(f"{path}: store is incomplete (attribute 'complete' is missing); run the extract stage to finish it")
        self.layers = tuple(self.attrs["layers"])
        self.n_images, self.n_tokens, self.d = self._group[f"acts/{self.layers[0]}"].shape
        self.n_special, self.grid = self.attrs["n_special"], tuple(self.attrs["grid"])
        self.n_patches = self.n_tokens - self.n_special
        self.classes = tuple(self.attrs["classes"])
        self.chunk = self.attrs["chunk"]

    def layer(self, layer: int) -> int:
        """The recorded 0-based layer that `layer` means; -1 is the backbone's last block."""
        index = layer % self.attrs["n_blocks"] if isinstance(layer, int) else layer
        if index not in self.layers:
            raise SaevError(f"{self.path}: layer {layer} is not recorded; it holds {list(self.layers)}")
        return index

    def acts(self, layer: int) -> zarr.Array:
        """Activations after block `layer`, (n_images, n_tokens, d) float16; read slices, never index lists."""
        return self._group[f"acts/{self.layer(layer)}"]

    def patches(self, layer: int, start: int, stop: int) -> np.ndarray:
        """Patch tokens of images start..stop, (stop - start, n_patches, d) float16."""
        return self.acts(layer)[start:stop][:, self.n_special :]

    def patch_labels(self) -> np.ndarray:
        """(n_images, n_patches) uint8, 255 = ignore."""
        return self._group["labels/patch"][:]

    def image_labels(self) -> np.ndarray:
        """(n_images,) uint8."""
        return self._group["labels/image"][:]

    def normalisation(self, layer: int) -> tuple[np.ndarray, float]:
        """Mean vector (d,) and scalar s = mean ||x - mean|| / sqrt(d) of the patch tokens, in float64."""
        layer = self.layer(layer)
        return self._group[f"stats/{layer}/mean"][:], self.attrs["stats"][str(layer)]["scale"]

    def check_same_model(self, other: "Store") -> None:
        """Raise SaevError unless both stores hold the same backbone's activations with the same classes."""
        for key in ("weights", "grid", "n_special", "layers", "classes"):
            if self.attrs[key] != other.attrs[key]:
                raise SaevError(f"{other.path}: {key} is {other.attrs[key]}, but {self.path} has {self.attrs[key]}")
