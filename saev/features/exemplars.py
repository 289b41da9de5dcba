"""The images on which a latent is strongest, and the latents that are strongest of all."""

import numpy as np

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
