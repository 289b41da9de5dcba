"""Edits of activations.

Setting latent s to the value v on token x (raw units), everything else kept:

    x' = x + scale * (v - f_s(x)) * W_dec[s]

which equals (x - x_hat) + decode(f with f_s := v): the part of x that the SAE does not
explain passes through untouched, and nothing needs to be decoded.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saev.sae.model import SAE


class Edit(NamedTuple):
    """A change of the patch tokens along one direction: x' = x + amount * direction."""

    amount_bp: Tensor
    """(b, p) how far, in raw activation units; 0 leaves the patch alone."""
    direction_d: Tensor
    """(d,) a unit vector, or a decoder row whose length is free."""

    def where(self, mask_bp: Tensor) -> "Edit":
        """The same edit on the patches of the mask only."""
        return Edit(self.amount_bp * mask_bp, self.direction_d)

    def change(self, images: Tensor | slice = slice(None)) -> Tensor:
        """x' - x for the given images, (b, p, d)."""
        return self.amount_bp[images][..., None] * self.direction_d


def set_latent(sae: SAE, latent: int, value: float, codes_bp: Float[Tensor, "b p"]) -> Edit:
    """Set `latent` to `value` on every patch; `codes_bp` are its codes before."""
    return Edit(sae.scale * (value - codes_bp), sae.W_dec[latent])


def push_along(direction_d: Float[Tensor, " d"], like: Edit) -> Edit:
    """The control: on every patch as long as `like`, but along another unit vector."""
    return Edit(like.amount_bp.abs() * torch.linalg.vector_norm(like.direction_d), direction_d)


def random_direction(d: int, seed: int) -> Float[Tensor, " d"]:
    """A unit vector drawn uniformly from the sphere."""
    vector = torch.randn(d, generator=torch.Generator().manual_seed(seed))
    return vector / torch.linalg.vector_norm(vector)
