"""The images on which a latent fires most."""

import numpy as np


def top_images(codes_ip: np.ndarray, k: int) -> np.ndarray:
    """Indices of the at most k images with the largest code anywhere, strongest first; silent images are left out.

    Args:
        codes_ip: (n_images, n_patches) codes of one latent.
    """
    strongest = codes_ip.max(1)
    order = np.argsort(-strongest, kind="stable")[:k]
    return order[strongest[order] > 0]
