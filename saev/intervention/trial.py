"""One target under edit: what an edit, a place or a control may look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saev.activations import Tokens
from saev.errors import SaevError
from saev.features import Codes
from saev.intervention.edits import EDITS, Edit, edit_latents
from saev.intervention.places import Scene
from saev.sae.model import SAE
from saev.tasks import Continuation

if TYPE_CHECKING:  # probing takes a second to load, and an edit needs none
    from saev.intervention.directions import Directions


class Rival(NamedTuple):
    """Another SAE of the same tokens."""

    sae: SAE
    latents: Mapping[str, int]
    """Of each class, the one with the best training F1."""


@dataclass(frozen=True)
class Setup:
    """What is experimented on: a model cut open at a layer, the SAE that reads it there, and its codes.

    Raises:
        SaevError: the SAE reads a kind of token that the model does not go on with.
    """

    sae: SAE
    model: Continuation
    tokens: Tokens
    """Of the validation split, of which `model` continues some images."""
    train: Codes
    val: Codes
    directions: "Directions | None" = None
    """Of the classes, for the controls that are such."""
    rivals: Mapping[str, Rival] = field(default_factory=dict)
    """By name, for the controls that are another SAE's latents."""

    def __post_init__(self):
        if not self.tokens.of_model:
            raise SaevError(
                f"{self.tokens.path}: meanpool, which the SAE reads, is no token that an edit could change"
            )

    def codes(self, latents: Sequence[int]) -> Tensor:
        """(b, t, k) codes of some latents on the images of `model`."""
        maps = [torch.from_numpy(self.val.maps(latent)[self.model.images]) for latent in latents]
        return torch.stack(maps, -1)

    def whole(self, change_btd: Tensor) -> Tensor:
        """A change of the tokens that the SAE reads as one of all tokens of the model, (b, T, d)."""
        everything = torch.zeros(len(change_btd), *self.model.x_btd.shape[1:])
        everything[:, torch.from_numpy(self.tokens.positions)] = change_btd
        return everything

    def of_tokens(self, says_bu: Tensor) -> Tensor:
        """(b, t) what is said of the task's units, said of the tokens that the SAE reads: of a patch what is
        said of it, or of its image; of any other token what is said anywhere in its image."""
        says_bt = says_bu.any(1, keepdim=True).repeat(1, self.tokens.per_image)
        if "patch" in self.tokens.kinds:
            first, last = self.tokens.store.spans["patch"]
            is_patch = (first <= self.tokens.positions) & (self.tokens.positions < last)
            says_bt[:, torch.from_numpy(is_patch)] = says_bu
        return says_bt

    @property
    def x_btd(self) -> Tensor:
        """The tokens that the SAE reads, raw."""
        return self.model.x_btd[:, torch.from_numpy(self.tokens.positions)]

    @cached_property
    def truth_bu(self) -> Tensor:
        """The true class of every unit of the task."""
        return self.model.task.truth(self.tokens.store, self.model.images)

    @cached_property
    def before_buc(self) -> Tensor:
        """The logits before any edit, in the precision of the edited passes."""
        return self.model.logits()

    @property
    def before_bu(self) -> Tensor:
        """What the model says before any edit, of units of one class each."""
        return self.before_buc.argmax(-1)

    @cached_property
    def labels_bt(self) -> Tensor:
        """The label of every token that the SAE reads."""
        return torch.from_numpy(self.tokens.labels()[self.model.images].astype(np.int64))


@dataclass(frozen=True, eq=False)
class Trial:
    """The edit of some latents, to move one class."""

    setup: Setup
    target: int
    """Index of the class."""
    latents: tuple[int, ...]
    seed: int
    """Of what its controls draw."""
    avoid: tuple[int, ...] = ()
    """Latents that something is claimed of, and that are no controls."""

    @property
    def name(self) -> str:
        """Of the class."""
        return self.setup.model.task.classes[self.target]

    @lru_cache(maxsize=4)  # noqa: B019 (every control asks for the edit that it is matched to)
    def edit(self, latents: tuple[int, ...], kind: str, strength: float) -> Edit:
        """The edit of these latents on every token."""
        of, setup = list(latents), self.setup
        f_btk = setup.codes(of)
        maximum_k = torch.from_numpy(setup.train.maximum[of])
        return edit_latents(setup.sae, of, f_btk, EDITS[kind](f_btk, strength, maximum_k))

    def scene(self, fires_bt: Tensor) -> Scene:
        """What the places of an edit depend on."""
        setup, task = self.setup, self.setup.model.task
        predicted_bt = setup.of_tokens(task.says(setup.before_buc, self.target))
        true_bt = setup.of_tokens(self.target_bu) if task.several else setup.labels_bt == self.target
        return Scene(true_bt, predicted_bt, fires_bt)

    @cached_property
    def shown_bu(self) -> Tensor:
        """1 of each unit of the task that is of the class, 0 of one that is not, -1 of one that nobody
        knows."""
        return self.setup.model.task.shown(self.setup.tokens.store, self.setup.model.images, self.target)

    @property
    def target_bu(self) -> Tensor:
        return self.shown_bu > 0

    @property
    def other_bu(self) -> Tensor:
        return self.shown_bu == 0
