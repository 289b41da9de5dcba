"""The latent that stands for each concept: chosen on one split, measured on another, beside latents taken at
random."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from saev.features import Codes
from saev.probing.concepts import Concepts
from saev.probing.f1 import THRESHOLDS, count, f1


def _average_precision(truth_m: np.ndarray, code_m: np.ndarray) -> float:
    return average_precision_score(truth_m, code_m)


def _prevalence(truth_m: np.ndarray, code_m: np.ndarray) -> float:
    return truth_m.mean()


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ap": _average_precision,
    "prevalence": _prevalence,
}
"""Of the chosen latent on validation, from (whether a unit shows the concept (m,), its code (m,)): average
precision of the code as a score, and what it is for a random score."""


class Match(NamedTuple):
    """A concept and the latent chosen for it on the training split."""

    name: str
    latent: int
    threshold: float
    scores: dict[str, float]
    """f1_train, on the split it was chosen on: biased upwards by the choice. f1, on validation with the same
    latent and threshold. null_f1, the mean of the live latents, each at its best training threshold;
    null_f1_95, their 95th percentile; rank, the share of them with at least the chosen one's F1, itself
    included (not the p-value of a choice among them). units, images: on validation, that show the concept.
    And those of SCORES that were asked for."""

    def row(self) -> dict:
        """A flat record."""
        return {"name": self.name, "latent": self.latent, "threshold": self.threshold, **self.scores}


def match_concepts(
    train: Codes,
    val: Codes,
    asked_train: Concepts,
    asked_val: Concepts,
    scores: Sequence[str] = ("ap", "prevalence"),
) -> list[Match]:
    """For each concept choose (latent, threshold) by training F1 and measure the choice on validation.

    The null needs no sampling: "a live latent taken at random" has as its distribution of F1 the F1s of all
    live latents. Concepts that either split does not show are left out; without a latent that is live in
    training there is nothing to choose.

    Args:
        scores: names among SCORES.
    """
    counts_train, counts_val = count(train, asked_train), count(val, asked_val)
    table_train, table_val = f1(counts_train), f1(counts_val)
    live = train.density > 0
    shown = (counts_train.members_c > 0) & (counts_val.members_c > 0)
    matches = []
    for c in np.flatnonzero(shown) if live.any() else []:
        threshold_of = table_train[:, c].argmax(0)  # each latent at its best threshold
        f1_train, f1_val = (
            np.take_along_axis(table[:, c], threshold_of[None], 0)[0] for table in (table_train, table_val)
        )
        s = int(np.where(live, f1_train, -1).argmax())
        units, truth = asked_val.of(c)
        code = val.column(s)[units]
        found = {
            "f1_train": f1_train[s],
            "f1": f1_val[s],
            "null_f1": f1_val[live].mean(),
            "null_f1_95": np.quantile(f1_val[live], 0.95),
            "rank": (f1_val[live] >= f1_val[s]).mean(),
            "units": truth.sum(),
            "images": len(np.unique(asked_val.image[units[truth]])),
            **{name: SCORES[name](truth, code) for name in scores},
        }
        found = {name: float(value) for name, value in found.items()}
        matches.append(Match(asked_val.names[c], s, THRESHOLDS[threshold_of[s]], found))
    return matches
