"""The controlled experiment: edit one concept's latents at a time, and measure what becomes of the
answers.

An arm is an edit, a place where it acts, and either the latents that a selector chose for the concept or a
control in their stead, at several strengths. Only the suffix of the model is rerun, from stored activations,
and only for images in which the edit changes anything at all, those of all arms together.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import itemgetter
from typing import Annotated, NamedTuple

import numpy as np
from torch import Tensor

from saev.activations.origin import shortened
from saev.checks import COUNT, Options, between, check_choice, check_number
from saev.errors import SaevError
from saev.intervention.answering import answers_after
from saev.intervention.controls import CHOSEN, CONTROLS, DRAWN
from saev.intervention.edits import EDITS, Edit
from saev.intervention.measures import Change, Sums, measured
from saev.intervention.places import PLACES
from saev.intervention.selectors import SELECTORS
from saev.intervention.transitions import Recall, Transitions, recall, transitions
from saev.intervention.trial import Setup, Trial
from saev.machine import track

USUAL = {"selector": "best f1", "edit": "set"}
"""What a method's name does not tell."""


@dataclass(frozen=True, kw_only=True)
class Arm(Options, section="intervene.arms"):
    """A row of the experiment."""

    edit: str = "set"
    """One of EDITS."""
    place: str
    """One of PLACES."""
    control: str | None = None
    """One of CONTROLS in place of the chosen latents; None: these themselves."""
    draws: Annotated[int, between(1, 1000)] = 1
    """How many random latents, or directions, which are then counted together."""
    selector: str = "best f1"
    """One of SELECTORS: how the latents were chosen."""
    strengths: tuple[float, ...]
    """Of the edit; for `set` multiples of the latent's largest training code, 0 ablates."""
    images: Annotated[int, COUNT]
    """The first so many of the images drawn."""

    def __post_init__(self):
        super().__post_init__()
        check_choice("intervene.arms.edit", self.edit, tuple(EDITS))
        check_choice("intervene.arms.place", self.place, tuple(PLACES))
        check_choice("intervene.arms.control", self.control, (None, *CONTROLS))
        check_choice("intervene.arms.selector", self.selector, tuple(SELECTORS))
        if self.control not in DRAWN and self.draws > 1:
            what = self.control or CHOSEN
            raise SaevError(
                f"intervene.arms.draws must be 1 for the {what}, got {self.draws}: nothing is drawn"
            )
        if not self.strengths:
            raise SaevError("intervene.arms.strengths must name at least one, got []")
        for strength in self.strengths:
            check_number("intervene.arms.strengths", strength, low=-1e6, high=1e6)
        object.__setattr__(self, "strengths", tuple(map(float, self.strengths)))  # YAML's 0 is an int

    @property
    def method(self) -> str:
        """What is edited; how it was chosen and edited, if that is unusual."""
        unusual = [getattr(self, key) for key, usual in USUAL.items() if getattr(self, key) != usual]
        return ", ".join([self.control or CHOSEN, *unusual])

    def applied(self, trial: Trial, strength: float, draw: int = 0) -> Edit | None:
        """The edit of this arm, in its place; None where there is no such control."""
        if self.control is None:
            edit = trial.edit(trial.latents, self.edit, strength)
        else:
            edit = CONTROLS[self.control](trial, self.edit, strength, draw)
        return edit and edit.where(PLACES[self.place](trial.scene(edit.fires_bt)))


def check_arms(arms: Sequence[Arm]) -> None:
    """Raise SaevError for an edit that is there twice, and so would be counted twice."""
    there = set()
    for arm in arms:
        for strength in arm.strengths:
            edit = (arm.method, arm.place, strength)
            if edit in there:
                raise SaevError(
                    "intervene.arms must be different edits, "
                    f"got the {arm.method} on {arm.place} at {strength:g} twice"
                )
            there.add(edit)


class Outcome(NamedTuple):
    """What one arm did to one class at one strength."""

    arm: Arm
    target: str
    strength: float
    sums: dict[str, Sums]
    """Of each of MEASURES, image by image."""
    recall: Recall
    moves: Transitions


Asked = tuple[Trial, Arm, float]
Found = tuple[dict[str, Sums], Recall, Transitions]


def trials(setup: Setup, chosen: Mapping[str, Sequence[int]], seed: int) -> list[Trial]:
    """A trial for each class that is chosen latents for, {name: latents}. No latent that is chosen for any of
    them is a control.

    Raises:
        SaevError: the task has no such class, or the SAE no such latent.
    """
    classes, d_sae = setup.model.task.classes, setup.sae.d_sae
    for name, latents in chosen.items():
        for latent in latents:
            if name not in classes or not 0 <= latent < d_sae:
                there = f"the SAE has latents 0 to {d_sae - 1}, the task the classes {shortened(classes)}"
                raise SaevError(f"latent {latent} cannot be edited to move class {name!r}: {there}")
    avoid = tuple(sorted({latent for latents in chosen.values() for latent in latents}))
    return [
        Trial(setup, classes.index(name), tuple(latents), seed + i, avoid)
        for i, (name, latents) in enumerate(chosen.items())
    ]


def run_experiment(setup: Setup, among: list[Trial], arms: Sequence[Arm]) -> Iterator[Outcome]:
    """Run every arm of every trial on the images of `setup.model`, and yield what it did, class by class.

    Held against the logits of the unedited activations, computed in the same precision. Units without a
    label count nowhere, and an arm whose control is not there for a class is left out.
    """
    asked: deque[Asked] = deque()

    def edits() -> Iterator[tuple[Edit, int]]:
        for trial in track(among, "intervene", len(among), unit="classes"):
            for arm, strength, draw in _draws(arms):
                edit = arm.applied(trial, strength, draw)
                if edit is not None:
                    asked.append((trial, arm, strength))
                    yield edit, arm.images

    answered = ((asked.popleft(), after_nuc) for after_nuc in answers_after(setup, edits()))
    for (trial, arm, strength), draws in groupby(answered, key=itemgetter(0)):
        found = [_measured(trial, change_of(trial, after_nuc)) for _, after_nuc in draws]
        yield Outcome(arm, trial.name, strength, *_together(found))


def _draws(arms: Sequence[Arm]) -> Iterator[tuple[Arm, float, int]]:
    for arm in arms:
        for strength in arm.strengths:
            for draw in range(arm.draws):
                yield arm, strength, draw


def change_of(trial: Trial, after_nuc: Tensor) -> Change:
    """What became of the first n images."""
    setup, n = trial.setup, len(after_nuc)
    truth_nu = None if setup.model.task.several else setup.truth_bu[:n]
    target_nu, other_nu = trial.target_bu[:n], trial.other_bu[:n]
    return Change(setup.before_buc[:n], after_nuc, trial.target, target_nu, other_nu, truth_nu)


def _measured(trial: Trial, change: Change) -> Found:
    task = trial.setup.model.task
    answers = ("no", "yes") if task.several else task.classes
    return measured(change), recall(change, len(answers)), transitions(change, answers)


def _together(found: list[Found]) -> Found:
    """Of several draws the sums, so that each draw looks at every unit once."""
    sums, recalls, moves = zip(*found, strict=True)
    added = {name: Sums(*np.sum([of[name] for of in sums], axis=0)) for name in sums[0]}
    return added, Recall(*np.sum(recalls, axis=0)), reduce(Transitions.__add__, moves)
