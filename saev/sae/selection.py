"""Which latents take part in a step."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saev import distributed
from saev.sae.shards import beside_shards
from saev.sae.sparse import owners, to_offsets

Pairs = tuple[Int[Tensor, " m"], Int[Tensor, " n_plus_1"]]
"""(latents, offsets) as in `Codes`."""


def select_topk(pre_ns: Float[Tensor, "n s"], k: int, shards: int = 1) -> Pairs:
    """The k largest pre-activations of each token, the negative ones included.

    Keeping them makes every bag k long; their value is 0 and so is their gradient. Of a
    dictionary in several shards, those of this shard that are among the k largest of all.
    """
    values, latents = pre_ns.topk(min(k, pre_ns.shape[1]), dim=1, sorted=False)
    if shards == 1:
        return latents.flatten(), torch.arange(0, latents.numel() + 1, k, device=pre_ns.device)
    everyones = beside_shards(values, shards)
    kept = values >= everyones.topk(min(k, everyones.shape[1]), dim=1).values[:, -1:]
    return latents[kept], to_offsets(kept.sum(1))


def select_above(pre_ns: Float[Tensor, "n s"], threshold: Float[Tensor, "..."] | float) -> Pairs:
    """All pre-activations above a threshold, common to all latents or (s,) one for each."""
    tokens, latents = (pre_ns > threshold).nonzero().unbind(1)
    return latents, to_offsets(torch.bincount(tokens, minlength=len(pre_ns)))


def select_batch_topk(pre_ns: Float[Tensor, "n s"], k: int, shards: int = 1) -> tuple[Pairs, Float[Tensor, ""]]:
    """The k * n largest positive pre-activations of the batch, over all processes, and the smallest of them.

    The processes hold other tokens, or, if the dictionary is in several shards, other latents.

    Where several equal the smallest (bf16 has few values) all of them take part; where there
    are fewer positive ones than wanted, all of those, and the smallest is 0. A guess from every 64th value leaves some
    hundred thousand candidates to be ranked instead of n * s; one that leaves too few is
    corrected, so the result is exact.
    """
    n, s = pre_ns.shape
    wanted = k * n * distributed.world() // shards
    sample = pre_ns.flatten()[::64][: 2**23].float()
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
    else:
        smallest = pre_ns.new_zeros(())
    return (places % s, to_offsets(torch.bincount(places // s, minlength=n))), smallest


def group_by_prefix(latents: Tensor, offsets: Tensor, widths: tuple[int, ...]) -> Pairs:
    """Split every token's codes at the prefix widths, into bags (token, group), for Matryoshka losses.

    Group g holds the latents from the (g-1)-th width up to the g-th, so the sum of the
    first g bags of a token is its reconstruction from the g-th prefix.

    Returns:
        latents, token by token in ascending order; offsets of the n * len(widths) bags.
    """
    n, groups, tokens = len(offsets) - 1, len(widths), owners(offsets)
    latents = latents[(tokens * widths[-1] + latents).argsort()]
    boundaries = torch.tensor(widths[:-1], device=latents.device)
    bags = tokens * groups + torch.bucketize(latents, boundaries, right=True)
    return latents, to_offsets(torch.bincount(bags, minlength=n * groups))


def pareto_widths(d_sae: int, n: int, seed: int, step: int) -> tuple[int, ...]:
    """n different prefix widths below d_sae, ascending, and d_sae itself.

    P(width > w) = w^-0.5, cut at d_sae: small prefixes are trained most, and no width is
    privileged (the random Matryoshka of arXiv 2502.06755's code). A pure function of (seed, step).
    """
    rng = np.random.default_rng([seed, step])
    widths: set[int] = set()
    while len(widths) < n:
        # Inverse of the distribution function on [1, d_sae].
        u = rng.random(n) * (1 - d_sae**-0.5)
        drawn = np.minimum(((1 - u) ** -2.0).astype(int), d_sae - 1)
        widths |= set(drawn[: n - len(widths)].tolist())
    return (*sorted(widths), d_sae)
