"""One dictionary spread over several processes: process r of w holds the latents r, r + w, r + 2 w, ...

Every process sees the same tokens and computes the pre-activations and codes of its own latents. What is
exchanged are sums of reconstructions (n, d), the values that compete for a place, and the gradient of b_dec
(d,): never (n, s) pre-activations, nor the weights or gradients of latents. (Interleaved and not in blocks,
because with Matryoshka prefixes the first latents fire most.)

The sums are what Megatron-LM (Shoeybi et al. 2019, arXiv 1909.08053, section 3) calls g: all processes
add their parts going forward; going backward each takes the gradient as it is.
"""

import torch
from torch import Tensor

from saev.machine import distributed


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, part):
        return distributed.total(part)

    @staticmethod
    def backward(ctx, grad):
        return grad


def sum_shards(part: Tensor, shards: int) -> Tensor:
    """The sum of all shards' parts; the part itself when there is but one shard."""
    return _Sum.apply(part) if shards > 1 else part


def count_shards(part: Tensor, shards: int) -> Tensor:
    """`sum_shards` of numbers that no gradient goes through, such as counts."""
    return distributed.total(part) if shards > 1 else part


def beside_shards(part_nk: Tensor) -> tuple[Tensor, int]:
    """The columns of all shards, (n, k) of any k each, side by side, and where this shard's begin."""
    widths = distributed.gather(torch.tensor([part_nk.shape[1]], device=part_nk.device))
    columns = distributed.gather(part_nk.T.flatten()).view(-1, len(part_nk)).T
    return columns, int(widths[: distributed.rank()].sum())


def local_width(width: int, shard: int, shards: int) -> int:
    """How many of the first `width` latents a shard holds."""
    return len(range(shard, width, shards))
