"""What an SAE reads: some kinds of token at one layer of a store."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saev.activations.chunks import read_ahead
from saev.activations.normalisation import statistics
from saev.activations.origin import Origin
from saev.errors import SaevError

if TYPE_CHECKING:
    from saev.activations.store import Store


class Chunk(NamedTuple):
    """The tokens of consecutive images, without those that could not be decoded."""

    images: np.ndarray
    """(b,) their numbers in the store."""
    x_btd: np.ndarray
    """(b, t, d) raw activations in the store's dtype."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of `kinds` after block `layer`, t of each image; `Store.tokens` makes them.

    Raises:
        SaevError: on reading, a damaged chunk.
    """

    store: "Store"
    layer: int
    """Recorded 0-based block."""
    kinds: tuple[str, ...] = ("patch",)
    """In the order of the store's token axis."""

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self.store.path

    @property
    def n_images(self) -> int:
        """Images of the store, also those that are not present."""
        return self.store.n_images

    @property
    def d(self) -> int:
        """Width of an activation."""
        return self.store.d

    @property
    def per_image(self) -> int:
        """Tokens t of each image."""
        return len(self.positions)

    @property
    def n_vectors(self) -> int:
        """All tokens of all images that are present."""
        return int(self.store.present.sum()) * self.per_image

    @property
    def grid(self) -> tuple[int, int] | None:
        """(rows, columns) in which the tokens lie, row by row, if they are the patches alone."""
        return self.store.grid if self.kinds == ("patch",) else None

    @property
    def of_model(self) -> bool:
        """Whether the model goes on with these tokens, so that changing them changes what it says; the mean
        patch token is only computed from others."""
        return set(self.kinds) <= self.store.attrs["backbone_tokens"].keys()

    @property
    def origin(self) -> Origin:
        """What an SAE of these tokens is of."""
        return self.store.origin(self.layer, self.kinds)

    @cached_property
    def positions(self) -> np.ndarray:
        """(t,) indices of the tokens along the store's token axis."""
        return np.concatenate([np.arange(*self.store.spans[kind]) for kind in self.kinds])

    def chunks(self, images: np.ndarray | None = None) -> Iterator[Chunk]:
        """Yield all tokens in the order of the store, of the numbered `images` alone if they are given.

        A thread reads one chunk ahead. A chunk of which no image is present, or asked for, is left out.
        """
        size = self.store.chunk
        present = np.flatnonzero(self.store.present)
        if images is not None:
            present = np.intersect1d(present, images)
        starts = np.flatnonzero(np.diff(present // size, prepend=-1))
        wanted = np.split(present, starts[1:]) if len(present) else []

        def read(images: np.ndarray) -> Chunk:
            acts = self.store.read_chunk(self.layer, int(images[0]) // size)
            return Chunk(images, acts[images[:, None] % size, self.positions])

        return read_ahead(read, wanted)

    def at(self, images: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Activations of any tokens in any order, (..., d) in the store's dtype.

        Each chunk that is needed is read once. An image that is not present has NaN.

        Args:
            images, positions: integers that broadcast: (b, 1) and (t,) give (b, t, d). A position counts
                among these tokens, 0 <= position < t, not along the store's token axis.

        Raises:
            IndexError: out of range.
        """
        images, positions = np.broadcast_arrays(images, positions)
        shape, images, positions = images.shape, images.ravel(), positions.ravel()
        for name, index, end in (("image", images, self.n_images), ("position", positions, self.per_image)):
            if len(index) and not (0 <= index.min() and index.max() < end):
                raise IndexError(
                    f"{self.path}: {name} must be in [0, {end - 1}], got {index.min()} to {index.max()}"
                )
        out = np.empty((len(images), self.d), self.store.dtype)
        chunk, row = np.divmod(images, self.store.chunk)
        for c in np.unique(chunk):
            here = np.flatnonzero(chunk == c)
            out[here] = self.store.read_chunk(self.layer, int(c))[row[here], self.positions[positions[here]]]
        return out.reshape(*shape, self.d)

    def labels(self) -> np.ndarray:
        """(n_images, t) uint16, 65535 = unknown: of a patch its own label, of any other token its image's."""
        labels = np.repeat(self.store.image_labels()[:, None], self.per_image, axis=1)
        if "patch" in self.kinds:
            first, last = self.store.spans["patch"]
            labels[:, (first <= self.positions) & (self.positions < last)] = self.store.patch_labels()
        return labels

    def normalisation(self) -> tuple[np.ndarray, float]:
        """Mean vector (d,) and scale = E||x - mean|| / sqrt(d) of these tokens, in float64.

        Raises:
            SaevError: they are all the same vector, so that there is nothing to scale.
        """
        if len(self.kinds) == 1:
            mean = self.store.mean(self.layer, self.kinds[0])
            scale = self.store.scale(self.layer, self.kinds[0])
        else:
            mean, scalars = statistics(self.store.group, self.layer, self.positions)
            scale = scalars["scale"]
        # float32 of a constant's mean leaves a distance of about 1e-7 of it.
        if not scale > 1e-6 * float(np.abs(mean).max()):
            kinds = " and ".join(self.kinds)
            raise SaevError(
                f"{self.path}: the activations of {kinds} tokens after block {self.layer} are constant "
                f"(scale {scale:g}); nothing can be learnt from them"
            )
        return mean, scale
