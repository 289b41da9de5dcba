"""Sparse probes: how well the k latents that tell most of a concept tell it together (Gurnee et al. 2023).

And how well all of the activations do.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from saev.probing.concepts import Concepts
from saev.probing.dense import learned_on_all
from saev.probing.f1 import ratio, sums
from saev.probing.few import learned_on_few
from saev.probing.folds import folds, over_folds
from saev.probing.linear import Split, activations_of
from saev.probing.match import Splits
from saev.probing.penalised import Features, Probe, Units
from saev.probing.ranking import rank_one
from saev.statistics import estimate

Learn = Callable[[Features, list[Units], int], list[list[Probe]]]
"""(features, the units that each concept is learned on, seed) -> of each concept its probes."""


@dataclass(frozen=True)
class SparseProbe:
    """A logistic classifier of one concept on k features: ranked, penalised and fitted on training, judged on
    validation. Where the splits share clusters (`saev.probing.folds`) each fold has its own."""

    name: str
    k: int
    latents_fk: np.ndarray
    """The features that each fold reads, those that tell most first."""
    scores: dict[str, Any]
    """On validation:

    f1, low, high        at a probability of 1/2, and its 95 % interval over clusters
    balanced_accuracy    mean of the shares told right, of units that show the concept and of others
    auroc, ap            mean over folds, weighted by how many units show the concept; None if no fold has
                         units of both kinds
    prevalence           what ap is for a random score
    penalties            C of each fold
    units, clusters      that show the concept; that it is judged on
    """
    sums_gm: np.ndarray
    """Of each cluster of validation, what it adds to 2 hits and to fires + members: `saev.probing.compare`
    takes it as that of a match."""
    cluster_g: np.ndarray
    """The numbers of these clusters."""


def sparse_probes(
    splits: Splits, ks: tuple[int, ...] = (1, 2, 5, 10, 16), *, seed: int, max_units: int = 30_000
) -> list[SparseProbe]:
    """Of every concept and every k that there are latents for, on at most `max_units` random training units.

    Concepts that a split lacks, or shows on all of its units, are left out.
    """
    train, val, *asked = splits
    ks = tuple(k for k in ks if k <= train.d_sae)
    take = [lambda units, csr=codes.csr: csr[units].tocsc() for codes in (train, val)]
    return _probes(take, asked, partial(learned_on_few, ks=ks), (seed, max_units)) if ks else []


def dense_probes(train: Split, val: Split, *, seed: int, max_units: int = 10_000) -> list[SparseProbe]:
    """The same on all coordinates of the activations, standardised: the ceiling."""
    take = [partial(activations_of, split) for split in (train, val)]
    return _probes(take, [train[1], val[1]], learned_on_all, (seed, max_units))


def _probes(
    take: list[Callable[[np.ndarray], Features]],
    asked: list[Concepts],
    learn: Learn,
    drawing: tuple[int, int],
) -> list[SparseProbe]:
    """Of the features that `take` has of units of training, and of validation."""
    (seed, max_units), parts = drawing, folds(*asked, seed=drawing[0])
    drawn = np.zeros(len(asked[0].known), bool)
    drawn[np.random.default_rng(seed).permutation(np.flatnonzero(asked[0].known))[:max_units]] = True
    asked = [asked[0].within(drawn), asked[1]]
    every = [
        (c, _units(asked[0], parts.train_u, c), _units(asked[1], parts.val_u, c))
        for c in range(len(asked[1].names))
    ]
    told = [(c, train, val) for c, train, val in every if train.both and val.both]
    if not told:
        return []
    x_train, x_val = (read(np.flatnonzero(side.known)) for read, side in zip(take, asked, strict=True))
    by_fold = [
        learn(x_train, [train.of(train.part != f) for _, train, _ in told], seed) for f in range(parts.n)
    ]

    def judged(told_c: tuple[int, Units, Units], *by_fold: list[Probe]) -> list[SparseProbe]:
        c, _, val = told_c
        return [_judged(asked[1], c, val, x_val, probes) for probes in zip(*by_fold, strict=True)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [probe for probes in pool.map(judged, told, *by_fold) for probe in probes]


def _units(asked: Concepts, part_u: np.ndarray, c: int) -> Units:
    units, shown = asked.of(c)
    row = np.searchsorted(np.flatnonzero(asked.known), units)
    return Units(row, shown, asked.cluster[units], part_u[units])


def _judged(asked: Concepts, c: int, val: Units, x_val: Features, probes: tuple[Probe, ...]) -> SparseProbe:
    """What the probes of the folds tell of concept c."""
    logit_m = np.zeros(len(val.row))
    for f, probe in enumerate(probes):
        mine = val.part == f
        logit_m[mine] = probe.logits(x_val, val.row[mine])
    yes, shown = logit_m > 0, val.shown
    sums_gm = sums(asked, asked.of(c)[0], yes, shown)
    f1 = estimate(sums_gm, ratio, within=(0, 1))
    ap, auroc = over_folds(rank_one, shown, logit_m, val.part).tolist()
    scores = {
        "f1": f1.value,
        "low": f1.low,
        "high": f1.high,
        "balanced_accuracy": float((yes[shown].mean() + (~yes[~shown]).mean()) / 2),
        "auroc": None if np.isnan(auroc) else auroc,
        "ap": None if np.isnan(ap) else ap,
        "prevalence": float(shown.mean()),
        "penalties": [probe.penalty for probe in probes],
        "units": int(shown.sum()),
        "clusters": len(np.unique(val.cluster)),
    }
    latents_fk = np.stack([np.arange(x_val.shape[1])[probe.features] for probe in probes])
    return SparseProbe(asked.names[c], latents_fk.shape[1], latents_fk, scores, sums_gm, asked.judged)
