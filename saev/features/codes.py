"""Sparse codes of the units of a data split, on disk and in memory."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse
import torch

from saev.activations import Origin, Tokens, agree
from saev.errors import SaevError, first_line
from saev.files import digest, write_by
from saev.machine import track
from saev.sae.model import SAE

SMALLEST, LARGEST = 2**-24, 65504.0
"""Of float16, above 0: a code below the first is stored as it, and fires on disk as it did in the SAE."""

FILES = {r"[^/]+\.safetensors": '"saev"'}
"""By which a folder of codes, one file for each split, is known (saev/outputs.py)."""


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
        s = self.d_sae
        pair = np.repeat(self.image, np.diff(self.csr.indptr)) * s + self.csr.indices
        order = np.argsort(pair, kind="stable")
        pairs, first = np.unique(pair[order], return_index=True)
        values = self.csr.data[order]
        over_units = np.maximum if how == "max" else np.add
        pooled = over_units.reduceat(values, first) if len(first) else values
        if how == "mean":
            pooled = pooled / self.per_image
        # int32 indices: sklearn takes no others.
        image, latent = (part.astype(np.int32) for part in np.divmod(pairs, s))
        csr = scipy.sparse.csr_array((pooled, (image, latent)), shape=(self.n_images, s))
        return replace(self, csr=csr)


def encode(
    sae: SAE, tokens: Tokens, *, what: str, device: torch.device | str = "cpu", batch_size: int = 4096
) -> Codes:
    """The codes of all tokens, as they would be read from a file.

    Raises:
        SaevError: as `encode_tokens` does.
    """
    return _codes(_encoded(sae, tokens, what, device, batch_size), tokens, sae)


def encode_tokens(
    sae: SAE,
    tokens: Tokens,
    path: str | Path,
    *,
    what: str,
    device: torch.device | str = "cpu",
    batch_size: int = 4096,
) -> None:
    """Write the codes of all tokens as a safetensors file in CSR form: values float16 (relative error 5e-4),
    latents uint16 or int32, offsets int64. Its metadata say whose codes of what they are.

    Args:
        what: name of the SAE in errors.

    Raises:
        SaevError: the SAE was trained on other activations than these, or a code is too large for float16.
    """
    from safetensors.numpy import save_file

    arrays = _encoded(sae, tokens, what, device, batch_size)
    facts = {
        "d_sae": sae.d_sae,
        "n_images": tokens.n_images,
        "sae": sae.digest(),
        "origin": tokens.origin.as_dict(),
    }
    metadata = {"saev": json.dumps(facts | {"sha256": digest(facts, arrays)})}
    write_by(lambda file: save_file(arrays, file, metadata=metadata), path)


def _encoded(
    sae: SAE, tokens: Tokens, what: str, device: torch.device | str, batch_size: int
) -> dict[str, np.ndarray]:
    """values, latents and offsets of the codes of all tokens."""
    sae.check_tokens(tokens, what)
    sae = sae.to(device)
    values, latents = [], []
    counts = np.zeros((tokens.n_images, tokens.per_image), np.int64)  # 0 where no image is
    index_type = np.uint16 if sae.d_sae <= 2**16 else np.int32
    name = f"features of {tokens.path}"
    for images, x_btd in track(tokens.chunks(), name, tokens.n_images, size=lambda chunk: len(chunk.images)):
        n_active = []
        for x_nd in torch.from_numpy(x_btd).reshape(-1, tokens.d).float().split(batch_size):
            codes = sae.codes(x_nd.to(device))
            if len(codes.values) and not codes.values.max() <= LARGEST:
                largest = f"a code of {codes.values.max():.4g} on {tokens.path}"
                raise SaevError(f"{what}: {largest} is beyond float16 (at most {LARGEST:g})")
            values.append(codes.values.clamp(min=SMALLEST).half().cpu().numpy())
            latents.append(codes.latents.cpu().numpy().astype(index_type))
            n_active.append(codes.offsets.diff().cpu().numpy())
        counts[images] = np.concatenate(n_active).reshape(len(images), -1)
    offsets = np.concatenate([[0], counts.cumsum()])
    return {"values": np.concatenate(values), "latents": np.concatenate(latents), "offsets": offsets}


def _codes(arrays: dict[str, np.ndarray], tokens: Tokens, sae: SAE) -> Codes:
    """From what is, or could be, in a file."""
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
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise SaevError(f"{path}: no codes there; write them with the features stage")
    try:
        with safe_open(path, "np") as file:
            facts = json.loads((file.metadata() or {}).get("saev", "{}"))
            arrays = {key: file.get_tensor(key) for key in ("values", "latents", "offsets")}
    except (SafetensorError, ValueError) as error:
        raise SaevError(f"{path}: damaged ({first_line(error)}); run the features stage again") from None
    if not isinstance(facts, dict) or facts.pop("sha256", None) != digest(facts, arrays):
        raise SaevError(f"{path}: damaged (changed since it was written); run the features stage again")
    agree(Origin.of(facts["origin"]), tokens.origin, f"the codes {path}", str(tokens.path))
    if facts["sae"] != sae.digest():
        whose = f"the codes of SAE {facts['sae']}, not of the one given, {sae.digest()}"
        raise SaevError(f"{path}: {whose}; run the features stage again")
    shape = (tokens.n_images * tokens.per_image, sae.d_sae)
    _check_csr(arrays["values"], arrays["latents"], arrays["offsets"], shape, path)
    return _codes(arrays, tokens, sae)


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
