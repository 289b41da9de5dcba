"""The latent that stands for each concept: chosen on some clusters, measured on others, beside latents taken
at random and labels laid over the wrong images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from saev.features import Codes
from saev.probing.concepts import Concepts
from saev.probing.f1 import THRESHOLDS, Counts, chosen, count, count_parts, f1, ratio, sums
from saev.probing.folds import Folds, folds, over_folds
from saev.probing.null import Detector, chosen_anew_f1, shuffled_f1
from saev.statistics import by_chance, detectable, discoveries, estimate, standard_error

CLAIMED = 0.05
"""A latent beats its null if it does at this false discovery rate over the concepts."""


def _average_precision(truth_m: np.ndarray, code_m: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score  # a second that most stages do not need

    return average_precision_score(truth_m, code_m)


def _prevalence(truth_m: np.ndarray, code_m: np.ndarray) -> float:
    return truth_m.mean()


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ap": _average_precision,
    "prevalence": _prevalence,
}
"""Of the chosen latent on validation, from (whether a unit shows the concept (m,), its code (m,)): average
precision of the code as a score, and what it is for a random score."""


@dataclass(frozen=True)
class Match:
    """A concept and the latent chosen for it on the training split."""

    name: str
    latent: int
    threshold: float
    scores: dict[str, Any]
    """On validation, with what was chosen elsewhere:

    f1, low, high        and its 95 % interval over clusters
    shuffled, p, q       its mean under permuted label maps, the share of those that reach it, and q over the
                         concepts
    detectable           the smallest F1 that this test finds with a power of 80 %
    f1_train             on what it was chosen on: biased upwards by the choice
    null_f1, null_f1_95  mean and 95th percentile of the live latents, each at its best training threshold
    rank                 the share of them with at least the F1 of the one that is named
    same                 the share of folds that chose the one that is named
    units, images        that show the concept
    clusters, folds      that it is judged on, and in how many parts
    """
    sums_gm: np.ndarray
    """Of each cluster of validation, what it adds to 2 hits and to fires + members: their ratio is F1."""
    cluster_g: np.ndarray
    """The numbers of these clusters."""

    @property
    def claimed(self) -> bool:
        """Whether its latent beats the null."""
        return self.scores["q"] is not None and self.scores["q"] <= CLAIMED

    def row(self) -> dict:
        """A flat record."""
        return {"name": self.name, "latent": self.latent, "threshold": self.threshold, **self.scores}


class Splits(NamedTuple):
    """What latents are chosen and judged on."""

    train: Codes
    val: Codes
    asked_train: Concepts
    asked_val: Concepts


def match_concepts(
    splits: Splits,
    scores: Sequence[str] = ("ap", "prevalence"),
    *,
    times: int = 1000,
    seed: int = 0,
    among: np.ndarray | None = None,
) -> list[Match]:
    """For each concept choose (latent, threshold) by training F1 and measure the choice on validation.

    Where the splits share clusters (`saev.probing.folds`) each fold chooses anew, and what is measured is the
    choice: hits, fires and members are summed over folds. The latent that is named is that of all training
    units. Concepts that either split does not show are left out; without a latent that is live in training
    there is nothing to choose.

    Args:
        scores: names among SCORES.
        times: permutations of the label maps; 0 asks for no null, and p, q and what is made of them are None.
        among: (s,) bool, the latents that may be chosen; None: all.
    """
    train, val, asked_train, asked_val = splits
    live = train.density > 0
    if among is not None:
        live &= among
    if not live.any():
        return []
    parts = folds(asked_train, asked_val, seed)
    by_part = count_parts(train, asked_train, parts.train_u, parts.n + 1)
    of_all = reduce(Counts.__add__, by_part)
    tables = _Tables(f1(of_all), f1(count(val, asked_val)), live, parts)
    choices = [chosen(f1(of_all - by_part[f]), live) for f in range(parts.n)]
    members = [(asked.truth[asked.known] > 0).sum(0) for asked in (asked_train, asked_val)]
    matches = []
    for c in np.flatnonzero((members[0] > 0) & (members[1] > 0)):
        detectors = [
            Detector(int(latents[c]), THRESHOLDS[thresholds[c]], parts.val_u == f)
            for f, (latents, thresholds) in enumerate(choices)
        ]
        matches.append(_measured(splits, int(c), detectors, tables, scores, (times, seed)))
    q = discoveries([match.scores["p"] for match in matches])
    return [replace(m, scores=m.scores | {"q": value}) for m, value in zip(matches, q, strict=True)]


class _Tables(NamedTuple):
    """F1 of every latent, (t, c, s), with all units of a split."""

    train: np.ndarray
    val: np.ndarray
    live: np.ndarray
    parts: Folds


def _measured(
    splits: Splits,
    c: int,
    detectors: list[Detector],
    tables: _Tables,
    scores: Sequence[str],
    permuted: tuple[int, int],
) -> Match:
    """Concept c with what its detectors reach on validation."""
    asked, seed = splits.asked_val, permuted[1]
    (s,), (t,) = chosen(tables.train[:, [c]], tables.live)
    units, shown = asked.of(c)
    code_m, yes_m = _read(splits.val, units, detectors)
    sums_gm = sums(asked, units, yes_m, shown)
    value = estimate(sums_gm, ratio, seed=seed, within=(0, 1))
    of_live = tables.train[:, c].argmax(0)  # each latent at its best threshold
    f1_train, f1_val = (
        np.take_along_axis(table[:, c], of_live[None], 0)[0] for table in (tables.train, tables.val)
    )
    part_m = tables.parts.val_u[units]
    found = {
        "f1": value.value or 0.0,
        "low": value.low,
        "high": value.high,
        **_beside_null(sums_gm, _null(splits, c, detectors, tables.parts, permuted)),
        "f1_train": float(f1_train[s]),
        "null_f1": float(f1_val[tables.live].mean()),
        "null_f1_95": float(np.quantile(f1_val[tables.live], 0.95)),
        "rank": float((f1_val[tables.live] >= f1_val[s]).mean()),
        "units": int(shown.sum()),
        "images": len(np.unique(asked.image[units[shown]])),
        "clusters": len(np.unique(asked.cluster[units])),
        "folds": len(detectors),
        "same": float(np.mean([detector.latent == s for detector in detectors])),
        **{name: float(over_folds(SCORES[name], shown, code_m, part_m)) for name in scores},
    }
    return Match(asked.names[c], int(s), THRESHOLDS[t], found, sums_gm, asked.judged)


def _read(val: Codes, units: np.ndarray, detectors: list[Detector]) -> tuple[np.ndarray, np.ndarray]:
    """(units,) the code of the detector that each is judged by, and whether it says "yes"."""
    code_m, yes_m = np.zeros(len(units), np.float32), np.zeros(len(units), bool)
    for detector in detectors:
        mine = detector.judging[units]
        code_m[mine] = val.column(detector.latent)[units[mine]]
        yes_m[mine] = code_m[mine] > detector.threshold
    return code_m, yes_m


def _null(
    splits: Splits, c: int, detectors: list[Detector], parts: Folds, permuted: tuple[int, int]
) -> np.ndarray:
    """F1 that permutations make of the same detectors; of detectors chosen anew in each, where both splits
    are the same images: what one fold judges has chosen for the others, and of latents that mean nothing 1 %
    would have p = 0.001."""
    times, seed = permuted
    if not times:
        return np.zeros(0)
    if splits.train.origin == splits.val.origin and parts.n > 1:
        return chosen_anew_f1(splits.train, splits.asked_train, c, parts, times=times, seed=seed)
    return shuffled_f1(splits.val, splits.asked_val, c, detectors, times=times, seed=seed)


def _beside_null(sums_gm: np.ndarray, null_r: np.ndarray) -> dict[str, float | None]:
    """What F1 is worth, if there is anything to hold it against."""
    if not len(null_r):
        return {"shuffled": None, "p": None, "detectable": None}
    error = standard_error(sums_gm, ratio)
    least = None if error is None else detectable(null_r, error)
    p = by_chance(float(ratio(sums_gm.sum(0))), null_r)
    return {"shuffled": float(null_r.mean()), "p": p, "detectable": least}
