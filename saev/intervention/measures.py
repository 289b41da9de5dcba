"""What an edit did to a task's answers: every measure is a ratio of sums over units, kept image by image.

The sums add up. So a share of all units, its mean over classes, a bootstrap of images or clusters, and the
difference to a control on the same images all follow from them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BATCH = 8
"""Images at a time: the logarithms of their probabilities are float64, and there are n x u x c of them."""


class Sums(NamedTuple):
    """Two sums over the units of each image, (n,) float64; the measure is their ratio."""

    part: np.ndarray
    whole: np.ndarray


@dataclass(frozen=True)
class Change:
    """Logits before and after an edit that is to move one class."""

    before_nuc: Tensor
    after_nuc: Tensor
    target: int
    """Index of the class."""
    target_nu: Tensor
    """Units of the class, bool; of several labels, units that show the concept."""
    other_nu: Tensor
    """Labelled units of other classes, bool; of several labels, units that lack the concept."""
    truth_nu: Tensor | None
    """The class of each unit, where one of the c is true. None: each logit is a question of its own, which
    is said yes to where it is above 0."""

    def of(self, images: slice | Tensor) -> "Change":
        """The same of some images."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: tensors[name][images] for name in tensors.keys() & _FIELDS})

    @cached_property
    def log_before_nuc(self) -> Tensor:
        """log p of each class before the edit."""
        return self._log(self.before_nuc)

    @cached_property
    def log_after_nuc(self) -> Tensor:
        return self._log(self.after_nuc)

    @cached_property
    def shift_nu(self) -> Tensor:
        """The change of the target's logit."""
        return self.after_nuc[..., self.target].double() - self.before_nuc[..., self.target].double()

    def _log(self, logits_nuc: Tensor) -> Tensor:
        logits_nuc = logits_nuc.double()
        return F.logsigmoid(logits_nuc) if self.truth_nu is None else logits_nuc.log_softmax(-1)


_FIELDS = {field.name for field in fields(Change)}


def _sums(value_nu: Tensor, mask_nu: Tensor, weight: int = 1) -> Sums:
    """Of a value over the units of a mask, of which each counts `weight` times."""
    value_nu = torch.where(mask_nu, value_nu.double(), 0.0)
    return Sums(value_nu.sum(1).numpy(), (mask_nu.double().sum(1) * weight).numpy())


def _target(change: Change) -> Sums:
    if change.truth_nu is None:
        before_nu, after_nu = (of[..., change.target] > 0 for of in (change.before_nuc, change.after_nuc))
        return _sums(before_nu != after_nu, change.target_nu)
    return _sums(change.before_nuc.argmax(-1) != change.after_nuc.argmax(-1), change.target_nu)


def _other(change: Change) -> Sums:
    if change.truth_nu is None:
        return _sums(((change.before_nuc > 0) != (change.after_nuc > 0)).any(-1), change.other_nu)
    return _sums(change.before_nuc.argmax(-1) != change.after_nuc.argmax(-1), change.other_nu)


def _collateral(change: Change) -> Sums:
    part, whole = _other(change)
    without = ~change.target_nu.any(1).numpy()
    return Sums(part * without, whole * without)


def _target_probability(change: Change) -> Sums:
    before_nu, after_nu = (
        of[..., change.target].exp() for of in (change.log_before_nuc, change.log_after_nuc)
    )
    return _sums(after_nu - before_nu, change.target_nu)


def _other_probability(change: Change) -> Sums:
    if change.truth_nu is None:  # what is true of them is that they lack the concept
        before_nu, after_nu = (
            -of[..., change.target].exp() for of in (change.log_before_nuc, change.log_after_nuc)
        )
    else:
        own_nu1 = torch.where(change.other_nu, change.truth_nu, 0)[..., None]
        before_nu, after_nu = (
            of.gather(-1, own_nu1)[..., 0].exp() for of in (change.log_before_nuc, change.log_after_nuc)
        )
    return _sums(after_nu - before_nu, change.other_nu)


def _target_logit(change: Change) -> Sums:
    return _sums(change.shift_nu, change.target_nu)


def _off_target_logit(change: Change) -> Sums:
    moved_nuc = (change.after_nuc.double() - change.before_nuc.double()).abs()
    return _sums(moved_nuc.sum(-1) - change.shift_nu.abs(), change.target_nu, moved_nuc.shape[-1] - 1)


def _other_kl(change: Change) -> Sums:
    before_nuc, after_nuc = change.log_before_nuc, change.log_after_nuc
    kl_nu = (before_nuc.exp() * (before_nuc - after_nuc)).sum(-1)
    if change.truth_nu is None:  # and of the answer no
        no_nuc, then_no_nuc = (F.logsigmoid(-of.double()) for of in (change.before_nuc, change.after_nuc))
        kl_nu = kl_nu + (no_nuc.exp() * (no_nuc - then_no_nuc)).sum(-1)
    return _sums(kl_nu, change.other_nu)


MEASURES: dict[str, Callable[[Change], Sums]] = {
    "target": _target,
    "other": _other,
    "collateral": _collateral,
    "target_probability": _target_probability,
    "other_probability": _other_probability,
    "target_logit": _target_logit,
    "off_target_logit": _off_target_logit,
    "other_kl": _other_kl,
}
"""By name:

target              share of the target's units whose answer changed; of several labels, the concept's answer
other               share of the other units whose answer, or any of whose answers, changed
collateral          the same in images that do not show the target at all
target_probability  mean change of the target's probability on its own units
other_probability   mean change of the probability of what is true of the others: their own class, or no
target_logit        mean change of the target's logit on its own units
off_target_logit    mean |change| of all other logits there
other_kl            mean KL(before || after) of the others' answers, in nats, summed over several questions
"""


def measured(change: Change) -> dict[str, Sums]:
    """Every measure."""
    starts = range(0, max(len(change.before_nuc), 1), BATCH)
    parts = [change.of(slice(start, start + BATCH)) for start in starts]
    return {
        name: Sums(*map(np.concatenate, zip(*map(measure, parts), strict=True)))
        for name, measure in MEASURES.items()
    }
