"""The pre-activations of n tokens and s latents, of which a selection asks for a few."""

from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saev.sae.kernels.sparse import Pairs, offsets_of

GROUPED_FROM = 1024
"""Shorter rows take torch.topk less than finding their groups."""
LONGEST_IN_TRITON = 32768
"""Longer rows do not fit in the registers of one block of threads."""


@runtime_checkable
class Scores(Protocol):
    """pre = z W + bias, in float32, however it is found.

    Attributes:
        n, s: tokens and latents.
    """

    n: int
    s: int

    def largest(self, k: int) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
        """The latents of the k <= s largest of each token, in any order, and what they are."""
        ...

    def above(self, threshold: Float[Tensor, "..."] | float) -> Pairs:
        """All that are above a threshold, common to all latents or (s,) one for each."""
        ...

    def part(self, tokens: Tensor | slice, latents: Tensor | slice) -> "Scores":
        """Those of some tokens and some latents."""
        ...

    def sample(self) -> Float[Tensor, " m"]:
        """Some of them, spread over all tokens and latents."""
        ...

    def dense(self) -> Float[Tensor, "n s"]:
        """All of them."""
        ...


class Dense:
    """Scores that are all there."""

    def __init__(self, pre_ns: Float[Tensor, "n s"]):
        self.pre_ns = pre_ns
        self.n, self.s = pre_ns.shape

    def largest(self, k: int) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
        """See `Scores`."""
        latents = largest(self.pre_ns, k)
        return latents, self.pre_ns.gather(1, latents)

    def above(self, threshold: Float[Tensor, "..."] | float) -> Pairs:
        """See `Scores`."""
        tokens, latents = true_pairs(self.pre_ns > threshold)
        offsets = offsets_of(tokens, self.n)
        return Pairs(latents, offsets, self.n, self.s, self.pre_ns[tokens, latents])

    def part(self, tokens: Tensor | slice, latents: Tensor | slice) -> "Dense":
        """See `Scores`."""
        return Dense(self.pre_ns[tokens][:, latents])

    def sample(self) -> Float[Tensor, " m"]:
        """See `Scores`. (61 is a prime, so that all latents are among them.)"""
        return self.pre_ns.flatten()[::61][: 2**23]

    def dense(self) -> Float[Tensor, "n s"]:
        """See `Scores`."""
        return self.pre_ns


def true_pairs(mask_ns: Bool[Tensor, "n s"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """Row and column of everything that is true, row after row. (On a CPU numpy finds it in a fifth of the
    time that torch.nonzero takes.)"""
    if mask_ns.device.type != "cpu":
        rows, columns = mask_ns.nonzero().unbind(1)
        return rows, columns
    places = torch.from_numpy(np.flatnonzero(mask_ns.numpy()))
    rows = torch.div(places, mask_ns.shape[1], rounding_mode="floor")
    return rows, places - rows * mask_ns.shape[1]


def largest(scores_ns: Tensor, k: int) -> Int[Tensor, "n k"]:
    """The columns of the k largest values of each row, in any order.

    Long rows on the CPU are first reduced to candidates. Of the columns i, i + G, i + 2 G, ... (8 of them)
    take the largest; the k-th largest of these G maxima is at most the k-th largest of the row, so its k
    largest are in the groups of the k largest maxima, which are found in the same way. (At 12,288 columns and
    k = 32 a third of the time of torch.topk.)
    """
    n, s = scores_ns.shape
    if (
        k
        and scores_ns.is_cuda
        and s <= LONGEST_IN_TRITON
        and scores_ns.element_size() <= 4
        and triton_works()
    ):
        from saev.sae.kernels.triton_topk import topk_columns

        return topk_columns(scores_ns, k)
    if scores_ns.device.type != "cpu" or s < GROUPED_FROM or s < 16 * k:
        return scores_ns.topk(k, dim=1, sorted=False).indices
    G = s // 8
    grouped, rest = scores_ns[:, : 8 * G].view(n, 8, G), scores_ns[:, 8 * G :]
    groups = largest(grouped.amax(1), k)
    columns = (groups[:, None] + torch.arange(0, 8 * G, G)[:, None]).flatten(1)
    candidates = scores_ns.gather(1, columns)
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
