"""Which pairs (token, latent) take part in a step."""

import torch

from saev.machine import distributed
from saev.sae.kernels.scores import Scores
from saev.sae.kernels.shards import beside_shards
from saev.sae.kernels.sparse import Pairs, offsets_of, to_offsets


def select_topk(scores: Scores, k: int, shards: int = 1) -> Pairs:
    """The k largest pre-activations of each token, the negative ones included.

    Keeping them makes every bag k long; their value is 0 and so is their gradient. Of a
    dictionary in several shards, those of this shard that are among the k largest of all.
    """
    n, s = scores.n, scores.s
    latents, values = scores.largest(min(k, s))
    if shards == 1:
        offsets = torch.arange(n + 1, device=latents.device) * latents.shape[1]
        return Pairs(latents.flatten(), offsets, n, s, values.flatten())
    everyones, first = beside_shards(values)
    winners = everyones.topk(min(k, everyones.shape[1]), dim=1, sorted=False).indices
    kept = torch.zeros_like(everyones, dtype=torch.bool).scatter(1, winners, True)[
        :, first : first + latents.shape[1]
    ]
    return Pairs(latents[kept], to_offsets(kept.sum(1)), n, s, values[kept])


def select_batch_topk(scores: Scores, k: int, shards: int = 1) -> Pairs:
    """The `batch_places` largest positive pre-activations of the batch, over all processes.

    The processes hold other tokens, or, if the dictionary is in several shards, other latents.

    Where several equal the smallest all of them take part; where there are fewer positive ones than places,
    all of those. A guess from a sample leaves some hundred thousand candidates to be ranked instead of n * s;
    one that leaves too few is corrected, so the result is exact.
    """
    n, s = scores.n, scores.s
    wanted, sample = batch_places(k, n, shards), scores.sample()
    guess = sample.kthvalue(max(1, round(len(sample) * (1 - 1.25 * k / (s * shards))))).values
    guess = distributed.mean(guess).clamp(min=0)
    for lowest in (guess, torch.zeros_like(guess)):
        pairs = scores.above(lowest)
        ranked = distributed.gather(pairs.pre)
        if len(ranked) >= wanted:
            kept = pairs.pre >= ranked.kthvalue(len(ranked) - wanted + 1).values
            counts = torch.bincount(pairs.tokens[kept], minlength=n)
            return Pairs(pairs.latents[kept], to_offsets(counts), n, s, pairs.pre[kept])
    return pairs


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
    order = (tokens * widths[-1] + pairs.latents).argsort()
    latents = pairs.latents[order]
    boundaries = torch.tensor(widths[:-1], device=latents.device)
    bags = tokens * groups + torch.bucketize(latents, boundaries, right=True)
    offsets = offsets_of(bags, pairs.n * groups)
    return Pairs(latents, offsets, pairs.n, pairs.s, pairs.pre[order])
