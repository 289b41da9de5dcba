"""What each architecture minimises."""

from typing import NamedTuple

import torch
from torch import Tensor

from saev.machine import distributed
from saev.sae.kernels.selection import group_by_prefix, select_topk
from saev.sae.kernels.shards import count_shards, local_width, sum_shards
from saev.sae.kernels.sparse import Selection, decode, encode
from saev.sae.model import SAE

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
    fired: Tensor
    """(s,) bool: which latents were active on any token."""


def objective(
    sae: SAE, x_nd: Tensor, progress: float = 1.0, step: int = 0, dead: Tensor | None = None
) -> Objective:
    """The loss of `sae` on raw activations.

    Args:
        progress: share of the training done, in [0, 1], for what is warmed up.
        step: number of the step, for random prefixes.
        dead: (s,) bool, the latents that AuxK revives.
    """
    architecture, z_nd = sae.architecture, sae.normalise(x_nd)
    with torch.no_grad():
        pre_ns = sae.pre_activations(z_nd)
    widths = tuple(local_width(width, sae.shard, sae.shards) for width in architecture.widths(step))
    pairs = _Sparse.of(sae, pre_ns, widths, progress) or _Dense(widths)
    pre = pairs.encode(sae, z_nd, pre_ns)
    values = architecture.values(sae, pre, pairs.latents)
    b_dec = sae.b_dec / sae.shards  # every shard adds its part
    z_hats = sum_shards(
        pairs.decode(values, sae.W_dec).cumsum(1) + b_dec, sae.shards
    )  # (n, prefix, d), the full dictionary last
    mse = (z_nd[:, None] - z_hats).square().mean((0, 2))
    penalty = architecture.penalty(sae, pre, values, pairs.latents, len(z_nd), progress)
    loss = mse.mean() + sum_shards(torch.as_tensor(penalty, device=mse.device), sae.shards) / sae.d
    if (gate := architecture.gate(pre)) is not None:
        by_gate = sum_shards(pairs.decode(gate, sae.W_dec.detach()).sum(1) + b_dec.detach(), sae.shards)
        loss = loss + (z_nd - by_gate).square().mean()
    n_dead = count_shards(dead.sum(), sae.shards) if architecture.aux_k and dead is not None else 0
    if n_dead:
        loss = loss + architecture.aux_weight * _auxiliary(
            sae, z_nd, pre_ns, (z_nd - z_hats[:, -1]).detach(), dead, int(n_dead)
        )
    active = values.detach() > 0
    return Objective(
        loss, mse[-1].detach(), count_shards(active.sum(), sae.shards) / len(z_nd), pairs.any_token(active)
    )


def _auxiliary(
    sae: SAE, z_nd: Tensor, pre_ns: Tensor, residual_nd: Tensor, dead: Tensor, n_dead: int
) -> Tensor:
    """||e - e_hat||^2 / ||e||^2, e_hat from the aux_k dead latents with the largest pre-activations; no decoder bias.

    The denominator is that of the whole batch over all processes, so that their mean
    gradient is that of one process.
    """
    numbers = dead.nonzero().flatten()
    chosen, offsets = select_topk(pre_ns[:, numbers], min(sae.architecture.aux_k, n_dead), sae.shards)
    pairs = Selection(numbers[chosen], offsets, len(z_nd), sae.d_sae)
    values = encode(z_nd, sae.W_enc, sae.b_enc, sae.b_dec, pre_ns, pairs).relu()
    error = (residual_nd - sum_shards(decode(values, sae.W_dec, pairs), sae.shards)).square().mean()
    return error / distributed.mean(residual_nd.square().mean())


class _Sparse:
    """The selected pairs, of which there are few."""

    def __init__(self, pairs: Selection, groups: int):
        self.pairs, self.groups, self.latents = pairs, groups, pairs.latents

    @classmethod
    def of(cls, sae: SAE, pre_ns: Tensor, widths: tuple[int, ...], progress: float) -> "_Sparse | None":
        """None if there are too many of them."""
        latents, offsets = sae.architecture.select_training(sae, pre_ns, progress)
        if len(latents) > DENSE_ABOVE * pre_ns.numel() and not sae.architecture.limited:
            return None
        if len(widths) > 1:
            latents, offsets = group_by_prefix(latents, offsets, widths)
        return cls(Selection(latents, offsets, len(pre_ns), sae.d_sae), len(widths))

    def encode(self, sae: SAE, z_nd: Tensor, pre_ns: Tensor) -> Tensor:
        return encode(z_nd, sae.W_enc, sae.b_enc, sae.b_dec, pre_ns, self.pairs)

    def decode(self, values: Tensor, W_dec: Tensor) -> Tensor:
        return decode(values, W_dec, self.pairs).view(self.pairs.n, self.groups, -1)

    def any_token(self, active: Tensor) -> Tensor:
        return torch.bincount(self.latents[active], minlength=self.pairs.d_sae) > 0


class _Dense:
    """All (token, latent) pairs: what a ReLU SAE starts with."""

    latents = slice(None)

    def __init__(self, widths: tuple[int, ...]):
        self.spans = list(zip((0, *widths), widths, strict=False))

    def encode(self, sae: SAE, z_nd: Tensor, pre_ns: Tensor) -> Tensor:
        return sae.pre_activations(z_nd).to(z_nd.dtype)

    def decode(self, values: Tensor, W_dec: Tensor) -> Tensor:
        return torch.stack([values[:, first:last] @ W_dec[first:last] for first, last in self.spans], dim=1)

    def any_token(self, active: Tensor) -> Tensor:
        return active.any(0)
