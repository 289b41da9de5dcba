"""Where units go when an edit changes their answers, and how often the answers are right."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.intervention.measures import Change


class Transitions(NamedTuple):
    """How many units an edit brings from one answer to another. Those of several edits, or images, add up."""

    classes: tuple[str, ...]
    units_cc: scipy.sparse.csr_array
    """int64, from the row to the column. Sparse, since few of ADE20K's 150 x 150 happen."""

    def __add__(self, other: "Transitions") -> "Transitions":
        return Transitions(self.classes, self.units_cc + other.units_cc)

    def largest(self, n: int, of: str | None = None) -> list[dict]:
        """The n commonest changes of answer, those `of` one class only if it is given: records {from, to,
        units, share}, of the units that were `from`."""
        before_c, moves = self.units_cc.sum(1), self.units_cc.tocoo()
        i, j = moves.coords
        asked = (i != j) if of is None else (i != j) & (i == self.classes.index(of))
        i, j, units = i[asked], j[asked], moves.data[asked]
        return [
            {
                "from": self.classes[i[m]],
                "to": self.classes[j[m]],
                "units": int(units[m]),
                "share": float(units[m] / before_c[i[m]]),
            }
            for m in np.lexsort((j, i, -units))[:n]
        ]


class Recall(NamedTuple):
    """Units of each answer (c,): that there are, and that are given it before and after. They add up."""

    there_c: np.ndarray
    before_c: np.ndarray
    after_c: np.ndarray

    def balanced(self) -> tuple[float, float] | None:
        """Balanced accuracy before and after: the mean over the classes that there are; None of none."""
        there = self.there_c > 0
        if not there.any():
            return None
        before, after = (
            float((of[there] / self.there_c[there]).mean()) for of in (self.before_c, self.after_c)
        )
        return before, after


def answers(change: Change) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m,) the true answer of each labelled unit, that before and that after: a class; or, of a concept among
    several, 1 for yes."""
    labelled_nu = change.target_nu | change.other_nu
    if change.truth_nu is None:
        before_nu, after_nu = (
            (of[..., change.target] > 0).long() for of in (change.before_nuc, change.after_nuc)
        )
        truth_nu = change.target_nu.long()
    else:
        before_nu, after_nu = change.before_nuc.argmax(-1), change.after_nuc.argmax(-1)
        truth_nu = change.truth_nu
    true_m, before_m, after_m = (of[labelled_nu].numpy() for of in (truth_nu, before_nu, after_nu))
    return true_m, before_m, after_m


def transitions(change: Change, classes: tuple[str, ...]) -> Transitions:
    """Of the labelled units, those that stay included.

    Args:
        classes: names of the answers; of a concept among several two, of no and of yes.
    """
    _, before_m, after_m = answers(change)
    c = len(classes)
    units_cc = scipy.sparse.coo_array((np.ones(len(before_m), np.int64), (before_m, after_m)), (c, c))
    return Transitions(classes, units_cc.tocsr())


def recall(change: Change, c: int) -> Recall:
    """Of the labelled units, by their true one of c answers."""
    truth_m, before_m, after_m = answers(change)
    kinds = (truth_m, truth_m[before_m == truth_m], truth_m[after_m == truth_m])
    return Recall(*(np.bincount(of, minlength=c) for of in kinds))
