"""Sparse codes of the units of a data split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse

from saev.activations import Origin, Tokens, agree
from saev.arrays import load_arrays
from saev.errors import SaevError
from saev.sae.model import SAE


@dataclass(frozen=True)
class Codes:
    """The codes of units: the tokens of every image of a split, or its whole images.

    Every image has the same number of units, in order; those of an image that could not be decoded are
    silent.
    """

    csr: scipy.sparse.csr_array
    """(units, s) float32, image by image; codes > 0."""
    n_images: int
    origin: Origin
    """Of the tokens that were encoded."""
    sae: str
    """Digest of the SAE that encoded them."""

    def __repr__(self) -> str:
        units, s = self.csr.shape
        active = self.csr.nnz / max(units, 1)
        return f"Codes({units:,} units of {self.n_images:,} images x {s:,} latents, {active:.1f} active each)"

    @property
    def per_image(self) -> int:
        """Units of an image."""
        return self.csr.shape[0] // self.n_images

    @property
    def d_sae(self) -> int:
        return self.csr.shape[1]

    @property
    def image(self) -> np.ndarray:
        """(units,) the image of each unit."""
        return np.arange(self.csr.shape[0]) // self.per_image

    @cached_property
    def density(self) -> np.ndarray:
        """(s,) share of units on which each latent fires."""
        return np.bincount(self.csr.indices, minlength=self.d_sae) / self.csr.shape[0]

    @cached_property
    def maximum(self) -> np.ndarray:
        """(s,) largest code of each latent, 0 for dead ones."""
        return self.csr.max(axis=0).toarray().ravel()

    @cached_property
    def _by_latent(self) -> scipy.sparse.csc_array:
        return self.csr.tocsc()

    def column(self, latent: int) -> np.ndarray:
        """(units,) codes of one latent."""
        return self._by_latent[:, [latent]].toarray().ravel()

    def maps(self, latent: int) -> np.ndarray:
        """(n_images, units of an image) codes of one latent."""
        return self.column(latent).reshape(self.n_images, self.per_image)

    def pooled(self, how: Literal["max", "mean"]) -> "Codes":
        """The codes of whole images: each latent's largest, or mean, code over the units of the image."""
        return replace(self, csr=pool(self.csr, self.per_image, how))


def pool(
    csr: scipy.sparse.csr_array, per_image: int, how: Literal["max", "mean", "sum"]
) -> scipy.sparse.csr_array:
    """(images, s) of (images x per_image, s)."""
    units, s = csr.shape
    image_n = np.repeat(np.arange(units) // per_image, np.diff(csr.indptr))
    pair_n = image_n * s + csr.indices
    order = np.argsort(pair_n, kind="stable")
    pairs, first = np.unique(pair_n[order], return_index=True)
    values = csr.data[order]
    over_units = np.maximum if how == "max" else np.add
    pooled = over_units.reduceat(values, first) if len(first) else values
    if how == "mean":
        pooled = pooled / per_image
    # int32 indices: sklearn takes no others.
    image, latent = (part.astype(np.int32) for part in np.divmod(pairs, s))
    return scipy.sparse.csr_array((pooled, (image, latent)), shape=(units // per_image, s))


def codes_of(arrays: dict[str, np.ndarray], tokens: Tokens, sae: SAE) -> Codes:
    """From `values`, `latents` and `offsets`, as they are in a file."""
    values, latents, offsets = (arrays[key] for key in ("values", "latents", "offsets"))
    # int32 indices: scipy would otherwise widen both arrays to int64.
    small = offsets.astype(np.int32) if offsets[-1] < 2**31 else offsets
    shape = (tokens.n_images * tokens.per_image, sae.d_sae)
    csr = scipy.sparse.csr_array((values.astype(np.float32), latents.astype(np.int32), small), shape=shape)
    return Codes(csr, tokens.n_images, tokens.origin, sae.digest())


def load_codes(path: str | Path, tokens: Tokens, sae: SAE) -> Codes:
    """Read the codes that `sae` has of `tokens`.

    Raises:
        SaevError: they are missing, damaged, or another SAE's or store's.
    """
    arrays, facts = load_of(path, sae, ("values", "latents", "offsets"))
    agree(Origin.of(facts["origin"]), tokens.origin, f"the codes {path}", str(tokens.path))
    shape = (tokens.n_images * tokens.per_image, sae.d_sae)
    _check_csr(arrays["values"], arrays["latents"], arrays["offsets"], shape, path)
    return codes_of(arrays, tokens, sae)


def load_of(path: str | Path, sae: SAE, names: Sequence[str]) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of these names that the features stage wrote of `sae`, and what the file says of them.

    Raises:
        SaevError: they are missing, damaged, or another SAE's.
    """
    arrays, facts = load_arrays(path, "features", names)
    if facts["sae"] != sae.digest():
        whose = f"the codes of SAE {facts['sae']}, not of the one given, {sae.digest()}"
        raise SaevError(f"{path}: {whose}; run the features stage again")
    return arrays, facts


def _check_csr(
    values: np.ndarray, latents: np.ndarray, offsets: np.ndarray, shape: tuple[int, int], path: str | Path
) -> None:
    """Raise SaevError unless these are a matrix of that shape: scipy would walk out of memory."""
    n, s = shape
    right = (
        values.dtype == np.float16
        and latents.dtype in (np.uint16, np.int32)
        and offsets.dtype == np.int64
        and values.ndim == latents.ndim == offsets.ndim == 1
        and len(offsets) == n + 1
        and offsets[0] == 0
        and (np.diff(offsets) >= 0).all()
        and offsets[-1] == len(values) == len(latents)
        and ((latents >= 0) & (latents < s)).all()
        and ((values > 0) & np.isfinite(values)).all()
    )
    if not right:
        what = f"do not form codes of {n} units by {s} latents"
        raise SaevError(f"{path}: damaged: its arrays {what}; run the features stage again")
