"""Edits of activations.

Setting latent s to the value v on token x (raw units), everything else kept:

    x' = x + scale * (v - f_s(x)) * W_dec[s]

which equals (x - x_hat) + decode(f with f_s := v): the part of x that the SAE does not
explain passes through untouched, and nothing needs to be decoded.
"""

import torch
from torch import Tensor

from saev.sae.model import SAE


def set_latent(sae: SAE, latent: int, value: float, codes_bp: Tensor) -> Tensor:
    """The change x' - x that sets `latent` to `value`, (b, p, d), where its codes are `codes_bp`."""
    return (sae.scale * (value - codes_bp))[..., None] * sae.W_dec[latent]


def push_along(direction: Tensor, like_bpd: Tensor) -> Tensor:
    """The control: on every token as long as `like_bpd`, but along the unit vector `direction` (d,)."""
    return torch.linalg.vector_norm(like_bpd, dim=-1, keepdim=True) * direction


def random_direction(d: int, seed: int) -> Tensor:
    """A unit vector drawn uniformly from the sphere."""
    vector = torch.randn(d, generator=torch.Generator().manual_seed(seed))
    return vector / torch.linalg.vector_norm(vector)
