"""Which pairs (token, latent) take part in a step."""

from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saev.machine import distributed
from saev.sae.kernels.shards import beside_shards
from saev.sae.kernels.sparse import Pairs, to_offsets

GROUPED_FROM = 4096
"""Shorter rows take torch.topk a few milliseconds a batch."""
LONGEST_IN_TRITON = 32768
"""Longer rows do not fit in the registers of one block of threads."""


def select_topk(pre_ns: Float[Tensor, "n s"], k: int, shards: int = 1) -> Pairs:
    """The k largest pre-activations of each token, the negative ones included.

    Keeping them makes every bag k long; their value is 0 and so is their gradient. Of a
    dictionary in several shards, those of this shard that are among the k largest of all.
    """
    n, s = pre_ns.shape
    latents = largest(pre_ns, min(k, s))
    if shards == 1:
        offsets = torch.arange(n + 1, device=pre_ns.device) * latents.shape[1]
        return Pairs(latents.flatten(), offsets, n, s)
    everyones, first = beside_shards(pre_ns.gather(1, latents))
    winners = everyones.topk(min(k, everyones.shape[1]), dim=1, sorted=False).indices
    kept = torch.zeros_like(everyones, dtype=torch.bool).scatter(1, winners, True)[
        :, first : first + latents.shape[1]
    ]
    return Pairs(latents[kept], to_offsets(kept.sum(1)), n, s)


def largest(pre_ns: Float[Tensor, "n s"], k: int) -> Int[Tensor, "n k"]:
    """The columns of the k largest values of each row, in any order.

    Long rows on the CPU are first reduced to candidates. Of the columns i, i + G, i + 2 G, ... (8 of them)
    take the largest; the k-th largest of these G maxima is at most the k-th largest of the row, so its k
    largest are in the groups of the k largest maxima. (1.2 times as fast as torch.topk at 12,288 columns and
    k = 32, twice at 24,576.)
    """
    n, s = pre_ns.shape
    if k and pre_ns.is_cuda and s <= LONGEST_IN_TRITON and pre_ns.element_size() <= 4 and triton_works():
        from saev.sae.kernels.triton_topk import topk_columns

        return topk_columns(pre_ns, k)
    if pre_ns.device.type != "cpu" or s < GROUPED_FROM or s < 16 * k:
        return pre_ns.topk(k, dim=1, sorted=False).indices
    G = s // 8
    grouped, rest = pre_ns[:, : 8 * G].view(n, 8, G), pre_ns[:, 8 * G :]
    groups = grouped.amax(1).topk(k, dim=1, sorted=False).indices
    candidates = grouped.gather(2, groups[:, None].expand(-1, 8, -1)).flatten(1)
    columns = (groups[:, None] + torch.arange(0, 8 * G, G)[:, None]).flatten(1)
    if rest.shape[1]:
        candidates = torch.cat([candidates, rest], 1)
        columns = torch.cat([columns, torch.arange(8 * G, s).expand(n, -1)], 1)
    return columns.gather(1, candidates.topk(k, dim=1, sorted=False).indices)


@cache
def triton_works() -> bool:
    """Whether it is installed and finds the C compiler that it needs on its first use."""
    try:
        from saev.sae.kernels.triton_topk import topk_columns

        return topk_columns(torch.zeros(1, 16, device="cuda"), 1).tolist() == [[0]]
    except Exception:
        return False


def select_above(pre_ns: Float[Tensor, "n s"], threshold: Float[Tensor, "..."] | float) -> Pairs:
    """All pre-activations above a threshold, common to all latents or (s,) one for each."""
    n, s = pre_ns.shape
    tokens, latents = (pre_ns > threshold).nonzero().unbind(1)
    return Pairs(latents, to_offsets(torch.bincount(tokens, minlength=n)), n, s)


def select_batch_topk(pre_ns: Float[Tensor, "n s"], k: int, shards: int = 1) -> Pairs:
    """The `batch_places` largest positive pre-activations of the batch, over all processes.

    The processes hold other tokens, or, if the dictionary is in several shards, other latents.

    Where several equal the smallest (bf16 has few values) all of them take part; where there are fewer
    positive ones than places, all of those. A guess from every 61st value (a prime, so that all latents are
    among them) leaves some hundred thousand candidates to be ranked instead of n * s; one that leaves too few
    is corrected, so the result is exact.
    """
    n, s = pre_ns.shape
    wanted = batch_places(k, n, shards)
    sample = pre_ns.flatten()[::61][: 2**23].float()
    guess = sample.kthvalue(max(1, round(len(sample) * (1 - 1.25 * k / (s * shards))))).values
    guess = distributed.mean(guess).clamp(min=0)
    for lowest in (guess, torch.zeros_like(guess)):
        places = (pre_ns > lowest).flatten().nonzero().flatten()
        values = pre_ns.flatten()[places]
        ranked = distributed.gather(values)
        if len(ranked) >= wanted:
            smallest = ranked.kthvalue(len(ranked) - wanted + 1).values
            places = places[values >= smallest]
            break
    return Pairs(places % s, to_offsets(torch.bincount(places // s, minlength=n)), n, s)


def batch_places(k: int, n: int, shards: int = 1) -> int:
    """How many codes a batch of n tokens in this process, and as many in all others, has at k per token."""
    return k * n * distributed.world() // shards


def group_by_prefix(pairs: Pairs, widths: tuple[int, ...]) -> Pairs:
    """Split every token's pairs at the prefix widths, into bags (token, group), for Matryoshka losses.

    Group g holds the latents from the (g-1)-th width up to the g-th, so the sum of the
    first g bags of a token is its reconstruction from the g-th prefix.

    Returns:
        The pairs token by token, their latents ascending, in n * len(widths) bags.
    """
    groups, tokens = len(widths), pairs.tokens
    latents = pairs.latents[(tokens * widths[-1] + pairs.latents).argsort()]
    boundaries = torch.tensor(widths[:-1], device=latents.device)
    bags = tokens * groups + torch.bucketize(latents, boundaries, right=True)
    return Pairs(latents, to_offsets(torch.bincount(bags, minlength=pairs.n * groups)), pairs.n, pairs.s)
