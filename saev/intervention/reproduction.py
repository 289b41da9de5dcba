"""How much of what a change of the image does an edit inside the model does too."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from saev.intervention.counterfactual import Moved, Twins
from saev.intervention.resampling import per_cluster
from saev.intervention.twin_edits import TwinEdit
from saev.statistics import Estimate, estimate


@dataclass(frozen=True)
class Reproduction:
    """An edit against the change of the image, over n pairs, in the logit of the attribute that they toggle.

        share    sum edit / sum image                1: as much of it as the image's change, 0: nothing
        r        their correlation over pairs
        sign     the share of pairs in which both go the same way
        off      sum of the mean |edit| over the other attributes' logits / |sum edit|
        outside  sum of the mean |edit| of the attribute's logit outside of the region / |sum edit|

    `image_off` and `image_outside` are the same of the image's own change. Intervals are over photographs. A
    share of nothing is None.
    """

    pairs: int
    photographs: int
    share: Estimate
    r: Estimate
    sign: Estimate
    off: Estimate
    outside: Estimate
    image_off: float | None
    image_outside: float | None

    def row(self) -> dict:
        """A flat record."""
        told = {"pairs": self.pairs, "photographs": self.photographs}
        for key in ("share", "r", "sign", "off", "outside"):
            of: Estimate = getattr(self, key)
            told |= {key: of.value, f"{key}_low": of.low, f"{key}_high": of.high}
        return told | {"image_off": self.image_off, "image_outside": self.image_outside}


def reproduction(
    twins: Twins, edits: Sequence[Moved], among_m: np.ndarray | None = None, *, seed: int = 0
) -> Reproduction:
    """What edits of the same kind reproduce together: one, or the draws of a control.

    Args:
        among_m: (m,) bool, the pairs that count; by default all.
    """
    among_m = np.ones(len(twins), bool) if among_m is None else among_m
    image, photograph_m = twins.moved(twins.absent_mtc), np.array(twins.photograph_m)[among_m]
    # Draws look at the same pairs, so that their terms add up.
    terms_gk = per_cluster(np.sum([_terms(moved, image) for moved in edits], axis=0)[among_m], photograph_m)

    def figure(of: Callable[[Totals], np.ndarray], low: float = -np.inf, high: float = np.inf) -> Estimate:
        return estimate(terms_gk, lambda total_rm: of(Totals(*total_rm.T)), seed=seed, within=(low, high))

    return Reproduction(
        *(int(among_m.sum()), len(terms_gk)),
        share=figure(lambda t: _over(t.edit, t.image)),
        r=figure(_correlation, -1, 1),
        sign=figure(lambda t: _over(t.same, t.n), 0, 1),
        off=figure(lambda t: _over(t.off, np.abs(t.edit)), 0),
        outside=figure(lambda t: _over(t.outside, np.abs(t.edit)), 0),
        image_off=figure(lambda t: _over(t.image_off, np.abs(t.image))).value,
        image_outside=figure(lambda t: _over(t.image_outside, np.abs(t.image))).value,
    )


def reproductions(
    twins: Twins, edits: Iterable[TwinEdit], claimed: Collection[str], *, seed: int = 0
) -> dict[str, list[dict]]:
    """What every kind of edit reproduces, as records.

    Args:
        claimed: the attributes whose latents beat their null, which the figures of an arm are of.

    Returns:
        arms: one per method and strength. attributes: of each attribute, claimed or not, one per method at
        the strength that controls are matched to. points: of each pair its attribute, photograph, the image's
        move and, by method, the edit's (of the first draw).
    """
    attribute_m = np.array(twins.attribute_m)
    image_m = twins.moved(twins.absent_mtc).own_m
    points = [
        {"attribute": name, "photograph": photograph, "image": float(image), "edits": {}}
        for name, photograph, image in zip(twins.attribute_m, twins.photograph_m, image_m, strict=True)
    ]
    arms, attributes, first = [], [], None
    for edit in edits:
        first = edit.strength if first is None else first
        if not edit.changes:  # a dictionary with no other live latents to draw from
            continue
        found = [twins.moved(twins.after(change)) for change in edit.changes]
        what = {"method": edit.method, "strength": edit.strength}
        of = reproduction(twins, found, np.isin(attribute_m, list(claimed)), seed=seed)
        arms.append(what | of.row())
        if edit.strength != first:
            continue
        for name in dict.fromkeys(twins.attribute_m):
            of = reproduction(twins, found, attribute_m == name, seed=seed)
            attributes.append({"name": name, "claimed": name in claimed} | what | of.row())
        for point, value in zip(points, found[0].own_m, strict=True):
            point["edits"][edit.method] = float(value)
    return {"arms": arms, "attributes": attributes, "points": points}


class Totals(NamedTuple):
    """What pairs add up to, each (r,): of the moves of their own attribute's logit, by the edit and by the
    image, the sums, squares and products; and the moves of all else."""

    n: np.ndarray
    edit: np.ndarray
    image: np.ndarray
    edit2: np.ndarray
    image2: np.ndarray
    product: np.ndarray
    same: np.ndarray
    off: np.ndarray
    outside: np.ndarray
    image_off: np.ndarray
    image_outside: np.ndarray


def _terms(edit: Moved, image: Moved) -> np.ndarray:
    """(m, 11) what each pair adds to the totals."""
    e, i = edit.own_m, image.own_m
    same = np.sign(e) == np.sign(i)
    return np.stack(Totals(np.ones(len(e)), e, i, e * e, i * i, e * i, same, *edit[1:], *image[1:]), 1)


def _correlation(t: Totals) -> np.ndarray:
    spread = np.clip(t.n * t.edit2 - t.edit**2, 0, None) * np.clip(t.n * t.image2 - t.image**2, 0, None)
    return _over(t.n * t.product - t.edit * t.image, np.sqrt(spread))


def _over(part_r: np.ndarray, whole_r: np.ndarray) -> np.ndarray:
    """Not a number where there is nothing to be a share of."""
    return np.divide(part_r, whole_r, out=np.full(len(part_r), np.nan), where=whole_r != 0)
