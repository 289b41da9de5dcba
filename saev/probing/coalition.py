"""Several latents that stand for a concept together: the coalition says "yes" where any of them fires. Grown
on some clusters, measured on others, beside its first member alone."""

from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from saev.checks import check_int
from saev.features import Codes
from saev.probing.concepts import Concepts
from saev.probing.f1 import THRESHOLDS, Counts, count, count_parts, f1, ratio, sums
from saev.probing.folds import Folds, folds
from saev.probing.match import Splits
from saev.statistics import Estimate, estimate

Members = tuple[tuple[int, float], ...]
"""(latent, threshold) of each, in the order in which they joined."""


class Coalition(NamedTuple):
    """A concept and the latents that stand for it together."""

    name: str
    members: Members
    """Grown on all training units."""
    f1_train: tuple[float, ...]
    """Of its first member, of its first two, ...: biased upwards by the choice."""
    f1: tuple[float, ...]
    """The same on validation; with several folds, of coalitions of at most one, two, ... members, up to the
    largest of any fold."""
    gain: Estimate
    """F1 of the whole - F1 of the first member alone, on validation. Where F1 is below twice the prevalence
    a latent at random raises it too, by saying "yes" more often: there a gain is no evidence."""
    sums_gm: np.ndarray
    """Of the whole, what each cluster of validation adds to 2 hits and to fires + members, as a `Match` has
    it."""
    cluster_g: np.ndarray
    """The numbers of these clusters."""


def coalitions(splits: Splits, size: int = 4, candidates: int = 64, *, seed: int = 0) -> list[Coalition]:
    """For each concept take the (latent, threshold) with the best training F1, add the one that raises that
    of the union most, until none raises it or there are `size`, and measure the union on validation.

    Concepts and folds are those of `match_concepts`, whose choice is the first member: each fold grows anew,
    and hits, fires and members are summed over folds.

    Args:
        candidates: so many latents with the best training F1 alone may join, each at any of THRESHOLDS: in a
            union a latent does best at a higher one than alone.
    """
    check_int("size", size, low=1)
    check_int("candidates", candidates, low=1)
    train, val, asked_train, asked_val = splits
    live = np.flatnonzero(train.density > 0)
    if not len(live):
        return []
    parts = folds(asked_train, asked_val, seed)
    by_part = count_parts(train, asked_train, parts.train_u, parts.n + 1)
    of_all = reduce(Counts.__add__, by_part)
    # All of training names the members, and chooses for a single fold.
    choosers = [(asked_train.known, f1(of_all).max(0))]
    if parts.n > 1:
        choosers += [(parts.train_u != f, f1(of_all - by_part[f]).max(0)) for f in range(parts.n)]
    shown = [(asked.truth[asked.known] > 0).sum(0) for asked in (asked_train, asked_val)]
    found = []
    for c in np.flatnonzero((shown[0] > 0) & (shown[1] > 0)).tolist():
        asked, judged = _only(asked_train, c), _only(asked_val, c)
        named, *of_folds = (
            _grown(train, asked.within(units), _strongest(best_cs[c], live, candidates), size)
            for units, best_cs in choosers
        )
        sums_jgm = _sums(val, judged, [grown.members for grown in of_folds or [named]], parts)
        found.append(_measured(judged, named, sums_jgm, seed))
    return found


class _Grown(NamedTuple):
    members: Members
    f1: tuple[float, ...]
    """Of the first member, of the first two, ..."""


def _grown(codes: Codes, asked: Concepts, latents: np.ndarray, size: int) -> _Grown:
    """Grow on the known units, of the one concept that is asked.

    What a latent adds are its counts on the units on which no member fires: so it raises F1 exactly where its
    precision there exceeds F1 / 2.
    """
    few = replace(codes, csr=codes.csr[:, latents])
    covered, fires_u = Counts(*np.zeros((3, 1), int)), np.zeros(len(asked.known), bool)
    members, reached = [], []
    while len(members) < size:
        union = covered + count(few, asked.within(~fires_u))
        f1_st = f1(union)[:, 0].T
        s, t = map(int, np.unravel_index(f1_st.argmax(), f1_st.shape))
        if reached and f1_st[s, t] <= reached[-1]:
            break
        hits = union.hits_tcs[t, 0, s]  # which are the units of the concept that are covered
        covered = Counts(hits, union.fires_tcs[t, 0, s], hits)
        fires_u |= few.column(s) > THRESHOLDS[t]
        members.append((int(latents[s]), THRESHOLDS[t]))
        reached.append(float(f1_st[s, t]))
    return _Grown(tuple(members), tuple(reached))


def _sums(val: Codes, asked: Concepts, by_fold: list[Members], parts: Folds) -> np.ndarray:
    """(j, g, 2) of at most j + 1 members of each fold: what each cluster of which anything is known adds to
    2 hits, and to fires + members."""
    units, truth = asked.of(0)
    sums_jgm = np.zeros((max(map(len, by_fold)), len(asked.judged), 2))
    for f, members in enumerate(by_fold):
        mine = parts.val_u[units] == f
        yes = np.zeros(len(units), bool)
        for j in range(len(sums_jgm)):
            for latent, threshold in members[j : j + 1]:
                yes |= val.column(latent)[units] > threshold
            sums_jgm[j] += sums(asked, units[mine], yes[mine], truth[mine])
    return sums_jgm


def _measured(asked: Concepts, named: _Grown, sums_jgm: np.ndarray, seed: int) -> Coalition:
    """What the members reach on validation."""
    first, whole = sums_jgm[0], sums_jgm[-1]
    gain = estimate(np.concatenate([first, whole], 1), _gain, seed=seed, within=(-1, 1))
    f1_j = tuple(ratio(sums_jgm.sum(1)).tolist())
    return Coalition(asked.names[0], *named, f1_j, gain, whole, asked.judged)


def _gain(totals_rm: np.ndarray) -> np.ndarray:
    """Of (r, 4) totals, those of the first member and of the whole."""
    return ratio(totals_rm[:, 2:]) - ratio(totals_rm[:, :2])


def _only(asked: Concepts, c: int) -> Concepts:
    """The same of concept c alone."""
    return replace(asked, names=(asked.names[c],), truth=asked.truth[:, [c]])


def _strongest(best_s: np.ndarray, live: np.ndarray, n: int) -> np.ndarray:
    """The n live latents with the largest F1, by number: of equal ones the first is chosen, as in a match."""
    return np.sort(live[np.argsort(-best_s[live], kind="stable")[:n]])
