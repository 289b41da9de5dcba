"""What each architecture minimises."""

from typing import NamedTuple

import torch
from torch import Tensor

from saev.sae.architectures import ReLU
from saev.sae.model import SAE
from saev.sae.sparse import group_by_prefix, sparse_sums

DENSE_ABOVE = 0.1
"""Share of active latents above which dense products are quicker. (At 384 x 1024 to 4096 on 2 cores the sparse
ones still take 0.6 to 0.7 of the time at a share of 0.07.)"""


class Objective(NamedTuple):
    """One training step's result."""

    loss: Tensor
    """Scalar to minimise, with a graph."""
    mse: Tensor
    """mean ||z - z_hat||^2 / d, detached; about the NMSE, since E||z||^2 is about d."""
    l0: Tensor
    """Mean number of active latents per token, detached."""


def objective(sae: SAE, x_nd: Tensor, progress: float = 1.0) -> Objective:
    """The loss of `sae` on raw activations; `progress` in [0, 1] is the share of training done (penalty warm-up)."""
    architecture, z_nd = sae.architecture, sae.normalise(x_nd)
    with torch.no_grad():
        pre_ns = sae.pre_activations(z_nd)
    if isinstance(architecture, ReLU) and (pre_ns > 0).float().mean() > DENSE_ABOVE:
        values = sae.pre_activations(z_nd).to(z_nd.dtype).relu()
        z_hats = (values @ sae.W_dec + sae.b_dec)[:, None]
    else:
        latents, offsets = sae.select(pre_ns)
        prefixes = (*getattr(architecture, "prefixes", ()), sae.d_sae)
        if len(prefixes) > 1:
            latents, offsets = group_by_prefix(latents, offsets, prefixes)
        sums, values = sparse_sums(z_nd, sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, pre_ns, latents, offsets)
        z_hats = sums.view(len(z_nd), len(prefixes), -1).cumsum(1) + sae.b_dec
    mse = (z_nd[:, None] - z_hats).square().mean((0, 2))  # one per prefix, the full dictionary last
    loss = mse.mean()
    if isinstance(architecture, ReLU):
        warm = min(progress / architecture.l1_warmup, 1.0) if architecture.l1_warmup else 1.0
        # The decoder norm of the formula is 1.
        loss = loss + architecture.l1 * warm * values.sum() / z_nd.numel()
    return Objective(loss, mse[-1].detach(), (values > 0).sum() / len(z_nd))
