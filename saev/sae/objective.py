"""What each architecture minimises.

The whole loss in plain torch, with everything dense. `selected` (n, s) are the pairs that `select_training`
takes; `values`, `penalty` and `gate` are the architecture's; `k` is aux_k, or aux_share of the number of dead
latents, rounded up, if that is smaller; `drawn` are tokens at random. (tests/sae/test_objective.py runs these
lines.)

    z = (x - mean) / scale
    pre = (z - b_dec) @ W_enc + b_enc
    f = torch.where(selected, values(pre), 0)
    errors = [(z - f[:, :m] @ W_dec[:m] - b_dec).square().mean() for m in widths]
    loss = sum(errors) / len(errors) + penalty(pre, f) / d
    if gate(pre) is not None:
        loss += (z - gate(pre) @ W_dec.detach() - b_dec.detach()).square().mean()
    if aux_k and dead.any():
        e, among = (z - f @ W_dec - b_dec).detach(), torch.where(dead, pre, -torch.inf)
        revived = torch.where(among >= among.topk(k).values[:, -1:], pre, 0).relu()
        loss += aux_weight * (e - revived @ W_dec)[drawn].square().mean() / e.square().mean()

`objective` computes it from the selected pairs alone, without any dense (n, s) gradient.
"""

from itertools import accumulate
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from saev.machine import distributed
from saev.sae.kernels.scores import Scores
from saev.sae.kernels.selection import group_by_prefix, select_topk
from saev.sae.kernels.shards import count_shards, local_width, sum_shards
from saev.sae.kernels.sparse import Pairs, decoder_product, encoder_product
from saev.sae.model import SAE
from saev.sae.trained import Step, trained

ALL_PAIRS_ABOVE = 0.1
"""Share of active latents above which dense products are quicker. (At 384 x 1024 to 4096 on 2 cores the
sparse ones still take 0.6 to 0.7 of the time at a share of 0.07.)"""


class Objective(NamedTuple):
    """One training step's result."""

    loss: Tensor
    """Scalar to minimise, with a graph."""
    mse: Tensor
    """mean ||z - z_hat||^2 / d of the full dictionary, detached; the NMSE is this over E||z||^2 / d, which is
    1 or a little more."""
    l0: Tensor
    """Mean number of active latents per token, detached."""
    fired: Tensor
    """(s,) bool: which latents were active on any token."""


def objective(
    sae: SAE, x_nd: Tensor, progress: float = 1.0, step: int = 0, dead: Tensor | None = None
) -> Objective:
    """The loss of an SAE of a `Trained` architecture on raw activations; `observe` then updates its buffers.

    Args:
        progress: share of the training done, in [0, 1], for what is warmed up.
        step: number of the step, for random prefixes and tokens.
        dead: (s,) bool, the latents that AuxK revives.
    """
    architecture, z_nd = trained(sae), sae.normalise(x_nd)
    scores = sae.scores(z_nd)
    parts = _parts(sae, scores, progress, architecture.widths(step))
    pre = parts.pre_activations(sae, z_nd)
    values = architecture.values(sae, pre, parts.latents)
    state = Step(pre, values, parts.latents, len(z_nd), progress)

    b_dec = sae.b_dec / sae.shards  # every shard adds its part
    # By prefix p, the full dictionary last. (torch.cumsum takes four times as long.)
    by_group = parts.reconstructions(values, sae.W_dec).unbind(1)
    z_hat_npd = sum_shards(torch.stack(list(accumulate(by_group)), 1) + b_dec, sae.shards)
    # One by one: of `square` and `mean` over all prefixes at once the graph alone takes half as long again.
    mse_p = torch.stack([F.mse_loss(z_hat_nd, z_nd) for z_hat_nd in z_hat_npd.unbind(1)])
    penalty = torch.as_tensor(architecture.penalty(sae, state), device=mse_p.device)
    loss = mse_p.mean() + sum_shards(penalty, sae.shards) / sae.d
    gate = architecture.gate(state)
    if gate is not None:
        by_gate = parts.reconstructions(gate, sae.W_dec.detach()).sum(1) + b_dec.detach()
        loss = loss + (z_nd - sum_shards(by_gate, sae.shards)).square().mean()
    if architecture.aux_k and dead is not None and (n_dead := int(count_shards(dead.sum(), sae.shards))):
        residual_nd = (z_nd - z_hat_npd[:, -1]).detach()
        k = min(architecture.aux_k, ceil(architecture.aux_share * n_dead))
        revived = _auxiliary(sae, z_nd, scores, residual_nd, (dead, k), step)
        loss = loss + architecture.aux_weight * revived

    architecture.observe(sae, state)
    active = values.detach() > 0
    l0 = count_shards(active.sum(), sae.shards) / len(z_nd)
    return Objective(loss, mse_p[-1].detach(), l0, parts.fired(active))


def _auxiliary(
    sae: SAE, z_nd: Tensor, scores: Scores, residual_nd: Tensor, revived: tuple[Tensor, int], step: int
) -> Tensor:
    """||e - e_hat||^2 / ||e||^2, e_hat from the k dead latents of the largest pre-activations, no b_dec.

    The denominator is that of the whole batch over all processes, so that their mean
    gradient is that of one process.
    """
    (dead, k), (drawn, expected) = revived, drawn_tokens(sae, len(z_nd), step)
    numbers = dead.nonzero()[:, 0]
    among = select_topk(scores.part(drawn, numbers), k, sae.shards)
    pairs = Pairs(numbers[among.latents], among.offsets, among.n, sae.s, among.pre)
    values = encoder_product(z_nd[drawn], sae.W_enc, sae.b_enc, sae.b_dec, pairs).relu()
    e_hat_md = sum_shards(decoder_product(values, sae.W_dec, pairs), sae.shards)
    error = (residual_nd[drawn] - e_hat_md).square().sum() / (expected * sae.d)
    return error / distributed.mean(residual_nd.square().mean())


def drawn_tokens(sae: SAE, n: int, step: int) -> tuple[Tensor, float]:
    """Which of this process's n tokens stand for all in AuxK, and how many it has on average.

    Drawn from those of all processes, of which this one has the tokens rank, rank + world, ...
    """
    rank, world = (distributed.rank(), distributed.world()) if sae.shards == 1 else (0, 1)
    order = torch.randperm(n * world, generator=torch.Generator().manual_seed(step))
    chosen = order[: max(1, round(trained(sae).aux_tokens * n * world))]
    here = chosen[chosen % world == rank] // world
    return here.sort().values.to(sae.W_dec.device), len(chosen) / world


def _parts(sae: SAE, scores: Scores, progress: float, widths: tuple[int, ...]) -> "_Selected | _All":
    """The pairs that the architecture selects, or all of them where those are many and `values` allows it."""
    widths = tuple(local_width(width, sae.shard, sae.shards) for width in widths)
    architecture = trained(sae)
    pairs = architecture.select_training(sae, scores, progress)
    if len(pairs.latents) > ALL_PAIRS_ABOVE * scores.n * scores.s and not architecture.competitive:
        return _All(widths)
    return _Selected(group_by_prefix(pairs, widths) if len(widths) > 1 else pairs, len(widths))


class _Selected:
    """The step's products on the selected pairs, of which there are few."""

    def __init__(self, pairs: Pairs, groups: int):
        self.pairs, self.groups, self.latents = pairs, groups, pairs.latents

    def pre_activations(self, sae: SAE, z_nd: Tensor) -> Tensor:
        """(m,) with a graph."""
        return encoder_product(z_nd, sae.W_enc, sae.b_enc, sae.b_dec, self.pairs)

    def reconstructions(self, values: Tensor, W_dec: Tensor) -> Tensor:
        """(n, groups, d): what the latents between two prefix widths add."""
        return decoder_product(values, W_dec, self.pairs).view(self.pairs.n, self.groups, -1)

    def fired(self, active: Tensor) -> Tensor:
        """(s,) bool: the latents that are active on any token."""
        return torch.bincount(self.latents[active], minlength=self.pairs.s) > 0


class _All:
    """The same on all pairs, which is what a ReLU SAE starts with."""

    latents = slice(None)

    def __init__(self, widths: tuple[int, ...]):
        self.spans = list(zip((0, *widths), widths, strict=False))

    def pre_activations(self, sae: SAE, z_nd: Tensor) -> Tensor:
        return sae.pre_activations(z_nd)

    def reconstructions(self, values: Tensor, W_dec: Tensor) -> Tensor:
        return torch.stack([values[:, first:last] @ W_dec[first:last] for first, last in self.spans], dim=1)

    def fired(self, active: Tensor) -> Tensor:
        return active.any(0)
