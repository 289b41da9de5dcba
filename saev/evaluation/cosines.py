"""How near the rows of a dictionary are to each other, or to those of another."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 4096
"""Rows whose cosines with all others are in memory at once."""


def best_cosines(rows_sd: Tensor, others_td: Tensor | None = None, block: int = BLOCK) -> Tensor:
    """(s,) the largest cosine of each row with any row of the others; None: with any other of its own.

    (`saev.features.nearest_rows` also tells which they are, which takes a sort.)
    """
    rows_sd = F.normalize(rows_sd, dim=1)
    against_td = rows_sd if others_td is None else F.normalize(others_td, dim=1)
    best = []
    for first in range(0, len(rows_sd), block):
        cosine_bt = rows_sd[first : first + block] @ against_td.T
        if others_td is None:
            cosine_bt.diagonal(first).fill_(-1)  # with itself
        best.append(cosine_bt.amax(1))
    return torch.cat(best)
