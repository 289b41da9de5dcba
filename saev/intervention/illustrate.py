"""One edit per class, with its control, kept to look at."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch

from saev.checks import Options, between, check_choice
from saev.intervention.controls import CONTROLS
from saev.intervention.experiment import Arm
from saev.intervention.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Illustration(Options, section="maps"):
    """Which edits are kept."""

    classes: Annotated[int, between(0, 10**9)] = 5
    """The classes with the best F1."""
    strength: Annotated[float, between(-1e6, 1e6)] = -1.0
    """Of the edit of the chosen latents on every token: times their largest training codes."""
    control: str = "random direction"
    """The control beside it, of CONTROLS."""

    def __post_init__(self):
        super().__post_init__()
        check_choice("maps.control", self.control, tuple(CONTROLS))


class EditedImage(NamedTuple):
    """Predicted classes of one image, each (u,)."""

    name: str
    """The target class."""
    latents: tuple[int, ...]
    image: int
    """Its number in the split."""
    before: np.ndarray
    after: np.ndarray
    control: np.ndarray
    """After the control's edit."""


def edited_images(among: list[Trial], options: Illustration) -> list[EditedImage]:
    """For each trial one image that shows the class: it covers about half of it, and the task gets it right
    before the edit. A class that no image shows, or that has no such control, is left out.

    (An edit can only be seen to work on what was right before; the figures of the experiment use all images.)
    """
    common = {"place": "all", "strengths": (options.strength,), "images": 1}
    arms = Arm(**common), Arm(**common, control=options.control)
    edited = []
    for trial in among:
        setup = trial.setup
        share = trial.target_bu.float().mean(1)
        edits = [edit for arm in arms if (edit := arm.applied(trial, options.strength)) is not None]
        if not share.any() or len(edits) < len(arms):
            continue
        right = (setup.before_bu == setup.truth_bu).float().mean(1)
        i = torch.where(share > 0, right - (share - 0.5).abs(), -torch.inf).argmax()[None]
        after, control = (setup.model.predict(i, setup.whole(edit.change(i)))[0].numpy() for edit in edits)
        number, before = int(setup.model.images[i]), setup.before_bu[i][0].numpy()
        edited.append(EditedImage(trial.name, trial.latents, number, before, after, control))
    return edited
