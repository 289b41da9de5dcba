"""The controlled experiment: edit one concept's latent at a time, and count which predictions change.

An arm is an edit, a place where it acts, and either the latent that probing chose for the concept or a
control in its stead, at several strengths. Only the suffix of the model is rerun, from stored activations,
and only for images in which the edit changes anything at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saev.activations.origin import shortened
from saev.checks import COUNT, Options, check_choice, check_number
from saev.errors import SaevError
from saev.intervention.controls import CONTROLS, similar_latents
from saev.intervention.edits import EDITS, Edit
from saev.intervention.places import PLACES
from saev.intervention.trial import Setup, Trial
from saev.machine import track

CHOSEN = "chosen latent"


@dataclass(frozen=True, kw_only=True)
class Arm(Options, section="intervene.arms"):
    """A row of the experiment."""

    edit: str = "set"
    """One of EDITS."""
    place: str
    """One of PLACES."""
    control: str | None = None
    """One of CONTROLS in place of the chosen latent; None: the chosen latent itself."""
    strengths: tuple[float, ...]
    """Of the edit; for `set` multiples of the latent's largest training code, 0 ablates."""
    images: Annotated[int, COUNT]
    """The first so many of the images drawn."""

    def __post_init__(self):
        super().__post_init__()
        check_choice("intervene.arms.edit", self.edit, tuple(EDITS))
        check_choice("intervene.arms.place", self.place, tuple(PLACES))
        check_choice("intervene.arms.control", self.control, (None, *CONTROLS))
        if not self.strengths:
            raise SaevError("intervene.arms.strengths must name at least one, got []")
        for strength in self.strengths:
            check_number("intervene.arms.strengths", strength, low=-1e6, high=1e6)
        object.__setattr__(self, "strengths", tuple(map(float, self.strengths)))  # YAML's 0 is an int

    @property
    def method(self) -> str:
        """What is edited, and how if that is unusual."""
        return (self.control or CHOSEN) + ("" if self.edit == "set" else f", {self.edit}")

    def applied(self, trial: Trial, strength: float) -> Edit:
        """The edit of this arm, in its place."""
        if self.control is None:
            edit = trial.edit([trial.latent], self.edit, strength)
        else:
            edit = CONTROLS[self.control](trial, self.edit, strength)
        return edit.where(PLACES[self.place](trial.scene(edit.fires_bt)))


class Counts(NamedTuple):
    """Units of the target class and of all others that changed, and that there are, per image (n,) int64."""

    target_changed: np.ndarray
    target: np.ndarray
    other_changed: np.ndarray
    other: np.ndarray


class Outcome(NamedTuple):
    """What one arm did to one class at one strength."""

    arm: Arm
    target: str
    strength: float
    counts: Counts


def trials(setup: Setup, chosen: dict[str, int], seed: int) -> list[Trial]:
    """A trial for each class that is chosen a latent for, {name: latent}, with its control latent.

    Raises:
        SaevError: the task has no such class, or the SAE no such latent.
    """
    classes = setup.model.task.classes
    for name, latent in chosen.items():
        if name not in classes or not 0 <= latent < setup.sae.d_sae:
            there = (
                f"the SAE has latents 0 to {setup.sae.d_sae - 1}, the task the classes {shortened(classes)}"
            )
            raise SaevError(f"latent {latent} cannot be edited to move class {name!r}: {there}")
    similar = similar_latents(list(chosen.values()), setup.train, seed)
    return [
        Trial(setup, classes.index(name), latent, control, seed + i)
        for i, ((name, latent), control) in enumerate(zip(chosen.items(), similar, strict=True))
    ]


def run_experiment(setup: Setup, among: list[Trial], arms: Sequence[Arm]) -> Iterator[Outcome]:
    """Run every arm of every trial on the images of `setup.model`, and yield what it did, class by class.

    A prediction counts as changed if it differs from the one on the unedited activations, computed in the
    same precision. Units without a label count nowhere, and a control latent that is the chosen one is left
    out.
    """
    classes = setup.model.task.classes
    for trial in track(among, "intervene", len(among), unit="classes"):
        for arm in arms:
            if arm.control == "random latent" and trial.similar == trial.latent:
                continue
            for strength in arm.strengths:
                changed_bu = _changed(setup, arm.applied(trial, strength), arm.images)
                yield Outcome(arm, classes[trial.target], strength, _count(trial, changed_bu))


def _changed(setup: Setup, edit: Edit, n_images: int) -> Tensor:
    """(n, u) bool: which predictions of the first `n_images` images the edit changes."""
    before_bu = setup.before_bu[:n_images]
    touched = (edit.amounts_btk[:n_images] != 0).flatten(1).any(1).nonzero().flatten()
    changed_bu = torch.zeros_like(before_bu, dtype=torch.bool)
    after_bu = setup.model.predict(touched, setup.whole(edit.change(touched)))
    changed_bu[touched] = after_bu != before_bu[touched]
    return changed_bu


def _count(trial: Trial, changed_bu: Tensor) -> Counts:
    target_bu, other_bu = trial.target_bu[: len(changed_bu)], trial.other_bu[: len(changed_bu)]
    masks = (changed_bu & target_bu, target_bu, changed_bu & other_bu, other_bu)
    return Counts(*(mask_bu.sum(1).numpy() for mask_bu in masks))
