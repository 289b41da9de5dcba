"""How every latent ranks the units of every concept by its code, whatever the threshold: average precision,
AUROC, and purity of the strongest.

The codes of a latent are ranked in tie blocks: units of equal code, largest first, and last those on which it
is silent. Every measure is a sum over blocks, so the silent ones cost nothing however many they are.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from saev.checks import check_int
from saev.features import Codes
from saev.probing.concepts import Concepts


class Ranking(NamedTuple):
    """(c, s) float64, of the units of which each concept is known; nan for a concept that all or none of them
    show."""

    ap_cs: np.ndarray
    """Average precision, as scikit-learn has it: the mean over the units of the concept of the precision at
    their codes. A random latent has the prevalence."""
    auroc_cs: np.ndarray
    """The probability that a unit of the concept has a larger code than another unit, ties counted half."""


def rank(codes: Codes, concepts: Concepts) -> Ranking:
    """Rank the units by every latent.

    With tp_b and fp_b the units with and without the concept in block b and all above, and t_b, f_b those in
    b alone:

        AP = sum_b t_b tp_b / (tp_b + fp_b) / members
        AUROC = sum_b t_b (others - fp_b + f_b / 2) / (members others)
    """
    blocks = _Blocks.of(codes)
    found = Ranking(*np.full((2, len(concepts.names), codes.d_sae), np.nan))
    for c, (shown_u, other_u) in enumerate(_masks(concepts)):
        members, others = shown_u.sum(), other_u.sum()
        if not members or not others:
            continue
        t_b, f_b = blocks.count(shown_u), blocks.count(other_u)
        tp_b, fp_b = blocks.running(t_b, members), blocks.running(f_b, others)
        found.ap_cs[c] = blocks.total(t_b * tp_b / np.maximum(tp_b + fp_b, 1)) / members
        found.auroc_cs[c] = blocks.total(t_b * (others - fp_b + f_b / 2)) / members / others
    return found


def rank_one(shown_m: np.ndarray, score_m: np.ndarray) -> tuple[float, float]:
    """(AP, AUROC) of one score, by the same sums; nan where all units or none show the concept."""
    members, others = shown_m.sum(), (~shown_m).sum()
    if not members or not others:
        return float("nan"), float("nan")
    order = np.argsort(-score_m)
    last_b = np.append(np.flatnonzero(np.diff(score_m[order])), len(order) - 1)
    tp_b = np.cumsum(shown_m[order])[last_b]
    fp_b = last_b + 1 - tp_b
    t_b, f_b = np.diff(tp_b, prepend=0), np.diff(fp_b, prepend=0)
    ap = (t_b * tp_b / (tp_b + fp_b)).sum() / members
    return float(ap), float((t_b * (others - fp_b + f_b / 2)).sum() / members / others)


def purity(codes: Codes, concepts: Concepts, k: int) -> np.ndarray:
    """(c, s) share that shows the concept of the k units with the largest codes, of those of which it is
    known; of all of them where they are fewer, nan where there are none.

    Of a block that straddles rank k the mean of its units counts, as if they were in random order. So a
    latent that fires on fewer than k units is filled up with silent ones.
    """
    check_int("k", k, low=1)
    blocks = _Blocks.of(codes)
    share_cs = np.full((len(concepts.names), codes.d_sae), np.nan)
    for c, (shown_u, other_u) in enumerate(_masks(concepts)):
        units = shown_u.sum() + other_u.sum()
        if not units:
            continue
        t_b = blocks.count(shown_u)
        n_b = t_b + blocks.count(other_u)
        taken_b = np.clip(k - blocks.running(n_b, units) + n_b, 0, n_b)
        share_cs[c] = blocks.total(t_b * taken_b / np.maximum(n_b, 1)) / min(k, units)
    return share_cs


def coverage(ap_c: np.ndarray, tau: float = 0.3) -> float:
    """Share of the concepts whose latent has at least this AP; those of which it is nan do not count, and nan
    where no other is left.

    Args:
        ap_c: AP of the latent chosen for each concept.
    """
    there = ap_c[~np.isnan(ap_c)]
    return float(np.mean(there >= tau)) if len(there) else float("nan")


def _masks(concepts: Concepts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(units,) bool of each concept: those that show it, and those known not to."""
    for c in range(len(concepts.names)):
        units, shown = concepts.of(c)
        sides = np.zeros((2, len(concepts.known)), bool)
        sides[0, units], sides[1, units] = shown, ~shown
        yield sides[0], sides[1]


class _Blocks(NamedTuple):
    """Tie blocks of all latents, one latent after the other; the last of each is the units on which it is
    silent."""

    unit_n: np.ndarray
    """The unit of each non-zero code."""
    block_n: np.ndarray
    """The block that it is in."""
    first_s: np.ndarray
    """The first block of each latent, and one past the last of all: (s + 1,)."""

    @classmethod
    def of(cls, codes: Codes) -> "_Blocks":
        csr, s = codes.csr, codes.d_sae
        order = np.lexsort((-csr.data, csr.indices))
        latent_n, code_n = csr.indices[order], csr.data[order]
        starts_n = np.ones(len(order), bool)
        starts_n[1:] = (np.diff(latent_n) > 0) | (np.diff(code_n) != 0)
        unit_n = np.repeat(np.arange(csr.shape[0], dtype=np.int32), np.diff(csr.indptr))[order]
        # Every earlier latent has a block of silent units besides.
        block_n = np.cumsum(starts_n) - 1 + latent_n
        first_s = np.concatenate([[0], np.cumsum(1 + np.bincount(latent_n[starts_n], minlength=s))])
        return cls(unit_n, block_n, first_s)

    def count(self, mask_u: np.ndarray) -> np.ndarray:
        """(b,) the units of each block that are in the mask."""
        count_b = np.bincount(self.block_n[mask_u[self.unit_n]], minlength=self.first_s[-1])
        count_b[self.first_s[1:] - 1] = mask_u.sum() - self.total(count_b)
        return count_b

    def running(self, count_b: np.ndarray, all_units: int) -> np.ndarray:
        """(b,) counts of each block and those above it, of the same latent: the blocks of every latent hold
        all units once."""
        earlier = np.repeat(np.arange(len(self.first_s) - 1), np.diff(self.first_s))
        return np.cumsum(count_b) - earlier * all_units

    def total(self, value_b: np.ndarray) -> np.ndarray:
        """(s,) sums over the blocks of each latent."""
        return np.add.reduceat(value_b, self.first_s[:-1])
