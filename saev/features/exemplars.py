"""The images on which a latent is strongest, and the latents that are strongest of all, or on some tokens."""

from typing import Literal

import numpy as np
import scipy.sparse

from saev.features.codes import Codes


def top_images(codes_it: np.ndarray, k: int) -> np.ndarray:
    """The at most k images with the largest code anywhere, strongest first; silent images are left out.

    Args:
        codes_it: (n_images, units) codes of one latent.
    """
    strongest = codes_it.max(1)
    order = np.argsort(-strongest, kind="stable")[:k]
    return order[strongest[order] > 0]


def strongest_latents(codes: Codes, k: int) -> np.ndarray:
    """The at most k live latents with the largest code anywhere, strongest first: what there is to see where
    no label says what to look for."""
    order = np.argsort(-codes.maximum, kind="stable")[:k]
    return order[codes.maximum[order] > 0]


Order = Literal["strength", "rarity"]


def strongest_here(
    codes_ts: scipy.sparse.csr_array, density_s: np.ndarray, by: Order, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The at most k latents that fire most on some tokens, the first first, and the mean code of each latent
    (s,) there.

    strength  mean code
    rarity    mean code x -log(density): what fires everywhere says little of these tokens
    """
    mean_s = np.asarray(codes_ts.mean(0)).ravel()
    score_s = mean_s * -np.log(density_s.clip(1e-9, 1)) if by == "rarity" else mean_s
    best = np.argsort(-score_s, kind="stable")[:k]
    return best[mean_s[best] > 0], mean_s
