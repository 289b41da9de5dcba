"""The latent of another seed that is most like each."""

import numpy as np

from saev.features.neighbours import BLOCK


def twins(W_dec_sd: np.ndarray, others: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(s, e) the latent of each of e other SAEs whose decoder row has the largest cosine with its own, and
    that cosine."""
    unit_sd, found = _unit(W_dec_sd), []
    for other in map(_unit, others):
        cosines = (unit_sd[first : first + BLOCK] @ other.T for first in range(0, len(unit_sd), BLOCK))
        found.append(np.concatenate([np.stack([of.argmax(1), of.max(1)]) for of in cosines], 1))
    both_2se = np.stack(found, -1) if found else np.zeros((2, len(unit_sd), 0))
    return both_2se[0].astype(np.uint32), both_2se[1].astype(np.float32)


def _unit(W_dec_sd: np.ndarray) -> np.ndarray:
    return W_dec_sd / np.maximum(np.linalg.norm(W_dec_sd, axis=1, keepdims=True), 1e-12)
