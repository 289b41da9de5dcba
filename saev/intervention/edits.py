"""Edits of features.

Setting latent s to the value v on token x (raw units), everything else kept:

    x' = x + scale * (v - f_s(x)) * W_dec[s]

which equals (x - x_hat) + decode(f with f_s := v): the part of x that the SAE does not explain passes through
untouched, and nothing needs to be decoded. Several latents add up.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saev.sae.model import SAE


class Edit(NamedTuple):
    """A change of tokens along k directions: x' = x + amounts @ directions."""

    amounts_btk: Tensor
    """How far, in raw activation units; 0 leaves the token alone."""
    directions_kd: Tensor
    """Unit vectors, or decoder rows, whose length is free."""
    fires_bt: Tensor
    """Where the edited feature was active before."""

    def where(self, mask_bt: Tensor) -> "Edit":
        """The same edit on the tokens of the mask only."""
        return self._replace(amounts_btk=self.amounts_btk * mask_bt[..., None])

    def change(self, images: Tensor | slice = slice(None)) -> Tensor:
        """x' - x for the given images, (b, t, d)."""
        return self.amounts_btk[images] @ self.directions_kd

    def length(self) -> Tensor:
        """||x' - x||, (b, t)."""
        return torch.linalg.vector_norm(self.change(), dim=-1)


def _set(f_btk: Tensor, strength: float, maximum_k: Tensor) -> Tensor:
    return torch.full_like(f_btk, strength) * maximum_k


def _ablate(f_btk: Tensor, strength: float, maximum_k: Tensor) -> Tensor:
    return torch.zeros_like(f_btk)


def _scale(f_btk: Tensor, strength: float, maximum_k: Tensor) -> Tensor:
    return strength * f_btk


def _add(f_btk: Tensor, strength: float, maximum_k: Tensor) -> Tensor:
    return f_btk + strength * maximum_k


def _clamp(f_btk: Tensor, strength: float, maximum_k: Tensor) -> Tensor:
    return torch.minimum(f_btk, strength * maximum_k)


EDITS: dict[str, Callable[[Tensor, float, Tensor], Tensor]] = {
    "set": _set,
    "ablate": _ablate,
    "scale": _scale,
    "add": _add,
    "clamp": _clamp,
}
"""What codes f become at a strength: set to, raised by, or held below `strength` times the latent's largest
training code; multiplied by `strength`; or 0."""


def edit_latents(
    sae: SAE, latents: list[int], f_btk: Float[Tensor, "b t k"], new_btk: Float[Tensor, "b t k"]
) -> Edit:
    """Bring the codes of `latents` from `f_btk` to `new_btk`."""
    return Edit(sae.scale * (new_btk - f_btk), sae.W_dec[latents], (f_btk > 0).any(-1))
