"""F1 of every latent as a detector of every concept."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.features import Codes
from saev.probing.concepts import Concepts

THRESHOLDS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""A latent says "yes" where its code exceeds the threshold, in units of normalised activations. The paper's
four, and 3: with TopK codes most classes choose the largest, so four ended the series too early."""


class Counts(NamedTuple):
    """What F1 is made of. Counts of several parts of the data add up, field by field."""

    hits_tcs: np.ndarray
    """Units of concept c on which latent s exceeds threshold t."""
    fires_tcs: np.ndarray
    """Units on which it does, of those of which the concept is known; (t, 1, s) if all are."""
    members_c: np.ndarray
    """Units of the concept."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


def count(codes: Codes, concepts: Concepts, thresholds: tuple[float, ...] = THRESHOLDS) -> Counts:
    """Count every (threshold, concept, latent)."""
    return count_parts(codes, concepts, np.zeros(len(concepts.known), int), 1, thresholds)[0]


def count_parts(
    codes: Codes,
    concepts: Concepts,
    part_u: np.ndarray,
    n_parts: int,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> list[Counts]:
    """The same in each part of the units, for the price of one: a product of sparse matrices.

    A code counts in the column (latent, number of the highest threshold that it exceeds); sums over columns
    then give all thresholds.

    Args:
        part_u: (units,) in [0, n_parts).
    """
    units, t, s = np.flatnonzero(concepts.known), len(thresholds), codes.d_sae
    csr, truth, part = codes.csr[units], concepts.truth[units], part_u[units]
    level = np.searchsorted(np.asarray(thresholds, np.float32), csr.data)  # thresholds below the code
    # One column more, for codes that exceed none.
    columns = np.where(level > 0, csr.indices.astype(np.int64) * t + level - 1, s * t)
    ones = np.ones(len(columns), np.int32)
    yes = scipy.sparse.csr_array((ones, columns, csr.indptr), shape=(len(units), s * t + 1))

    def counted(row_m: np.ndarray, unit_m: np.ndarray, rows: int) -> np.ndarray:
        """(parts, t, rows, s) of the units that each row has."""
        key = part[unit_m] * rows + row_m
        chosen = scipy.sparse.csr_array(
            (np.ones(len(key), np.int32), (key, unit_m)), shape=(n_parts * rows, len(units))
        )
        exact = (chosen @ yes)[:, : s * t].toarray().reshape(n_parts, rows, s, t)
        return np.moveaxis(np.cumsum(exact[..., ::-1], -1)[..., ::-1], -1, 1)

    c, (unit_m, concept_m), value_m = len(concepts.names), truth.nonzero(), truth.data[truth.data != 0]
    shown = value_m > 0
    hits = counted(concept_m[shown], unit_m[shown], c)
    fires = counted(np.zeros(len(units), int), np.arange(len(units)), 1)
    if not shown.all():
        fires = fires - counted(concept_m[~shown], unit_m[~shown], c)
    members = np.zeros((n_parts, c), int)
    np.add.at(members, (part[unit_m[shown]], concept_m[shown]), 1)
    return [Counts(*of_part) for of_part in zip(hits, fires, members, strict=True)]


def f1(counts: Counts) -> np.ndarray:
    """F1 = 2 TP / (2 TP + FP + FN) = 2 hits / (fires + members), (t, c, s); 0 where there is neither."""
    possible = counts.fires_tcs + counts.members_c[:, None]
    return np.divide(2 * counts.hits_tcs, possible, out=np.zeros(counts.hits_tcs.shape), where=possible > 0)


def chosen(table_tcs: np.ndarray, live_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(c,) the live latents with the largest F1 of all, and their thresholds' numbers: of equal ones the
    first."""
    best_cs = np.where(live_s, table_tcs.max(0), -1)
    latents = best_cs.argmax(1)
    return latents, table_tcs.argmax(0)[np.arange(len(latents)), latents]


def sums(asked: Concepts, units: np.ndarray, yes_m: np.ndarray, shown_m: np.ndarray) -> np.ndarray:
    """(g, 2) of each cluster of which anything is known, what these units add to 2 hits and to
    fires + members."""
    group_m, g = np.searchsorted(asked.judged, asked.cluster[units]), len(asked.judged)
    counts = (2.0 * (yes_m & shown_m), yes_m * 1.0 + shown_m)
    return np.stack([np.bincount(group_m, of_unit, g) for of_unit in counts], 1)


def ratio(totals: np.ndarray) -> np.ndarray:
    """(...) F1 = 2 hits / (fires + members), from both, (..., 2); 0 where there is neither."""
    part, whole = totals[..., 0], totals[..., 1]
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
