"""Whether another seed finds the same latents."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saev.evaluation.cosines import best_cosines
from saev.sae.model import SAE

RANK = 32
"""Of the subspaces that are compared."""


class Stability(NamedTuple):
    """How far a dictionary is its data's and not its seed's (Gerasimov et al. 2026, arXiv 2606.12138)."""

    cosine_s: np.ndarray
    """(s,) of each latent, the mean over the other seeds of the largest cosine of their decoder rows with
    its own."""
    null: float
    """The 95th percentile of the same with random directions in the place of another seed's."""
    overlap: float
    """||U^T V||_F^2 / r, mean over the other seeds: of the r principal directions of its decoder rows, U, and
    of theirs, V. 1: the same subspace; r / d: unrelated ones. Latents that no other seed has can still span
    what the others span."""

    @property
    def share(self) -> float:
        """Of the latents, those that are found again better than by chance."""
        return float((self.cosine_s > self.null).mean())


def measure_stability(sae: SAE, others: Sequence[SAE], seed: int = 0) -> Stability:
    """Hold the decoder of an SAE against those of others, of independent starts on the same data."""
    rows = sae.W_dec.detach()
    cosine_s = torch.stack([best_cosines(rows, other.W_dec.detach()) for other in others]).mean(0)
    # Not from torch's generator, which an SAE of this seed draws its first directions from.
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(rows.shape, np.float32))
    null = best_cosines(rows, noise).quantile(0.95).item()
    mine = _principal(rows)
    overlaps = [(mine.T @ _principal(other.W_dec.detach())).square().sum().item() for other in others]
    return Stability(cosine_s.numpy(), null, float(np.mean(overlaps)) / mine.shape[1])


def _principal(rows_sd: Tensor) -> Tensor:
    """(d, r) orthonormal: the directions in which unit rows are longest together."""
    rows = F.normalize(rows_sd, dim=1)
    return torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -min(RANK, rows.shape[1]) :]
