"""What each latent is like: how often and how strongly it fires, and on which images."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse

from saev.arrays import save_arrays
from saev.features.codes import load_of, pool
from saev.features.encoding import Block
from saev.features.neighbours import fire_together, nearest_rows
from saev.sae.model import SAE

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
EDGES = (np.arange(249, dtype=np.uint16) << 7).view(np.float16).astype(np.float32)
"""Of the 248 bins of a histogram, eight an octave: exponent and first three bits of a float16 number them."""
KEPT = 9
"""Images of a latent that are named."""
NEAR = 8
"""Latents that are named for each."""
SAMPLE = 2**18
"""Tokens, of images drawn by seed, that are kept whole for what no count over blocks gives."""


class Profile(NamedTuple):
    """Of every latent, over the tokens of a split; dead latents have 0 throughout, and no images."""

    density_s: np.ndarray
    """Share of tokens on which it fires, of images that are there."""
    images_s: np.ndarray
    """Share of images."""
    mean_s: np.ndarray
    """Mean of its codes above 0."""
    maximum_s: np.ndarray
    quantiles_sq: np.ndarray
    """(s, QUANTILES) of its codes above 0, to a bin of EDGES: an eighth at most."""
    histogram_sh: np.ndarray
    """(s, 248) of its codes above 0, in the bins of EDGES."""
    strongest_sk: np.ndarray
    """(s, KEPT) the images on which it is strongest, first the strongest; -1 where there are fewer."""
    spread_sk: np.ndarray
    """(s, KEPT) images of the sample from its strongest to its weakest there, evenly by rank: the top alone
    hides that weak codes may mean another thing."""
    near_sk: np.ndarray
    """(s, NEAR) the latents whose decoder rows have the largest cosine with its own, and the cosines."""
    cosine_sk: np.ndarray
    together_sk: np.ndarray
    """(s, NEAR) those that fire most on the same tokens of the sample, and |both| / |either|."""
    jaccard_sk: np.ndarray

    def row(self, s: int) -> dict:
        """What is told of a latent, as a flat record; nearest and together are None where it is the only
        one."""
        alone = not self.near_sk.shape[1]
        return {
            "density": float(self.density_s[s]),
            "images_share": float(self.images_s[s]),
            "maximum": float(self.maximum_s[s]),
            "median": float(self.quantiles_sq[s, QUANTILES.index(0.5)]),
            "nearest": None if alone else int(self.near_sk[s, 0]),
            "cosine": None if alone else float(self.cosine_sk[s, 0]),
            "together": None if alone else int(self.together_sk[s, 0]),
            "jaccard": None if alone else float(self.jaccard_sk[s, 0]),
        }


class Profiler:
    """Profiles of the latents from their codes, block by block: its memory does not grow with the images.

    Attributes:
        sample: after all blocks, the codes of the images that were drawn.
    """

    def __init__(
        self, n_images: int, per_image: int, d_sae: int, *, by: Literal["max", "sum"] = "max", seed: int = 0
    ):
        """
        Args:
            by: how the code of an image is made of those of its tokens.
        """
        self.shape = (n_images, per_image, d_sae)
        self.by: Literal["max", "sum"] = by
        drawn = np.random.default_rng(seed).permutation(n_images)[: max(1, SAMPLE // per_image)]
        self.drawn = np.zeros(n_images, bool)
        self.drawn[drawn] = True
        self.kept: list[tuple[np.ndarray, scipy.sparse.csr_array]] = []
        self.tokens, self.images = 0, 0
        self.histogram_sh = np.zeros((d_sae, len(EDGES) - 1), np.int64)
        self.total_s, self.maximum_s = np.zeros(d_sae), np.zeros(d_sae, np.float32)
        self.images_s = np.zeros(d_sae, np.int64)
        self.top = np.full((d_sae, KEPT), -1), np.zeros((d_sae, KEPT), np.float32)

    def update(self, block: Block) -> None:
        """Count a block of codes."""
        _, per_image, s = self.shape
        csr = block.csr(s)
        self.tokens, self.images = self.tokens + csr.shape[0], self.images + len(block.images)
        cell = csr.indices * np.int64(len(EDGES) - 1) + (block.values.view(np.uint16) >> 7)
        cells, n = np.unique(cell, return_counts=True)
        self.histogram_sh.ravel()[cells] += n
        self.total_s += np.bincount(csr.indices, csr.data.astype(np.float64), minlength=s)
        np.maximum.at(self.maximum_s, csr.indices, csr.data)
        pooled = pool(csr, per_image, self.by)
        self.images_s += np.bincount(pooled.indices, minlength=s)
        self.top = _merged(self.top, pooled, block.images)
        here = self.drawn[block.images]
        if here.any():
            self.kept.append((block.images[here], csr[np.repeat(here, per_image)]))

    @property
    def sample(self) -> tuple[np.ndarray, scipy.sparse.csr_array]:
        """The images drawn (i,), and the codes of their tokens (i x per_image, s)."""
        images, codes = zip(*self.kept, strict=True) if self.kept else ([[]], [])
        _, _, s = self.shape
        return np.concatenate(images), scipy.sparse.vstack([scipy.sparse.csr_array((0, s)), *codes], "csr")

    def compute(self, W_dec_sd: np.ndarray) -> Profile:
        """The profiles of all blocks together, of the latents with these decoder rows."""
        n_s = self.histogram_sh.sum(1)
        images, codes = self.sample
        return Profile(
            n_s / max(self.tokens, 1),
            self.images_s / max(self.images, 1),
            self.total_s / np.maximum(n_s, 1),
            self.maximum_s,
            _quantiles(self.histogram_sh, self.maximum_s),
            self.histogram_sh,
            self.top[0],
            _spread(images, pool(codes, self.shape[1], self.by)),
            *nearest_rows(W_dec_sd, NEAR),
            *fire_together(codes, NEAR),
        )


def _merged(
    top: tuple[np.ndarray, np.ndarray], pooled: scipy.sparse.csr_array, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(images, codes) of the KEPT strongest of each latent, of those so far and of more images."""
    latent = pooled.indices
    better = pooled.data > top[1][latent, -1]
    image = np.repeat(images, np.diff(pooled.indptr))[better]
    touched, row = np.unique(latent[better], return_inverse=True)
    old_image, old_code = (part[touched].ravel() for part in top)
    rows = np.concatenate([np.repeat(np.arange(len(touched)), KEPT), row])
    every_image, code = np.concatenate([old_image, image]), np.concatenate([old_code, pooled.data[better]])
    order = np.lexsort((every_image, -code, rows))
    rank = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    first = order[rank < KEPT]  # KEPT of each: as many were there before, some of them none
    new = top[0].copy(), top[1].copy()
    for part, of in zip(new, (every_image, code), strict=True):
        part[touched] = of[first].reshape(-1, KEPT)
    return new


def _quantiles(histogram_sh: np.ndarray, maximum_s: np.ndarray) -> np.ndarray:
    """(s, QUANTILES), each where its rank lies between the edges of its bin."""
    cumulative_sh = histogram_sh.cumsum(1)
    n_s = cumulative_sh[:, -1]
    found_sq = np.zeros((len(n_s), len(QUANTILES)), np.float32)
    live = np.flatnonzero(n_s)
    for q, quantile in enumerate(QUANTILES):
        rank = quantile * (n_s[live] - 1)
        h = (cumulative_sh[live] <= rank[:, None]).sum(1)
        below = cumulative_sh[live, h] - histogram_sh[live, h]
        share = (rank - below + 0.5) / histogram_sh[live, h]
        found_sq[live, q] = np.minimum(EDGES[h] + share * (EDGES[h + 1] - EDGES[h]), maximum_s[live])
    return found_sq


def _spread(images: np.ndarray, pooled: scipy.sparse.csr_array) -> np.ndarray:
    """(s, KEPT) evenly by rank, the strongest first."""
    by_latent = pooled.tocsc()
    n_s = np.diff(by_latent.indptr)
    order = np.lexsort((-by_latent.data, np.repeat(np.arange(len(n_s)), n_s)))
    ranked = images[by_latent.indices[order]]
    rank_sk = np.rint(np.linspace(0, 1, KEPT) * (n_s[:, None] - 1)).astype(int)
    few = n_s < KEPT  # all of them, each once
    rank_sk[few] = np.arange(KEPT)
    there = rank_sk < n_s[:, None]
    found_sk = np.full(rank_sk.shape, -1)
    found_sk[there] = ranked[(by_latent.indptr[:-1, None] + rank_sk)[there]]
    return found_sk


def save_profile(found: Profile, sae: SAE, path: str | Path) -> None:
    """Write it as a safetensors file beside the codes."""
    narrow = {"f": np.float32, "i": np.int32}
    arrays = {name: of.astype(narrow[of.dtype.kind]) for name, of in found._asdict().items()}
    save_arrays(arrays, {"sae": sae.digest()}, Path(path))


def load_profile(path: str | Path, sae: SAE) -> Profile:
    """Read the profiles of the latents of `sae`.

    Raises:
        SaevError: they are missing, damaged, or another SAE's.
    """
    arrays, _ = load_of(path, sae, Profile._fields)
    return Profile(**arrays)
