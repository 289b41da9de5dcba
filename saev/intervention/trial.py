"""One target under edit: what an edit, a place or a control may look at."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from saev.activations import Tokens
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.features import Codes
from saev.intervention.edits import EDITS, Edit, edit_latents
from saev.intervention.places import Scene
from saev.sae.model import SAE
from saev.tasks import Continuation


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

    def __post_init__(self):
        if not self.tokens.of_model:
            raise SaevError(
                f"{self.tokens.path}: meanpool, which the SAE reads, is no token that an edit could change"
            )

    def codes(self, latents: list[int]) -> Tensor:
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

    @cached_property
    def truth_bu(self) -> Tensor:
        """The true class of every unit of the task."""
        return self.model.task.truth(self.tokens.store, self.model.images)

    @cached_property
    def before_bu(self) -> Tensor:
        """What the model says before any edit, in the precision of the edited passes."""
        return self.model.predict()

    @cached_property
    def labels_bt(self) -> Tensor:
        """The label of every token that the SAE reads."""
        return torch.from_numpy(self.tokens.labels()[self.model.images].astype(np.int64))


@dataclass(frozen=True)
class Trial:
    """The edit of one latent, to move one class."""

    setup: Setup
    target: int
    """Index of the class."""
    latent: int
    similar: int
    """The control latent."""
    seed: int

    def edit(self, latents: list[int], kind: str, strength: float) -> Edit:
        """The edit of these latents on every token."""
        f_btk = self.setup.codes(latents)
        maximum_k = torch.from_numpy(self.setup.train.maximum[latents])
        return edit_latents(self.setup.sae, latents, f_btk, EDITS[kind](f_btk, strength, maximum_k))

    def scene(self, fires_bt: Tensor) -> Scene:
        """What the places of an edit depend on."""
        setup = self.setup
        predicted_bt = setup.of_tokens(setup.before_bu == self.target)
        return Scene(setup.labels_bt == self.target, predicted_bt, fires_bt)

    @property
    def target_bu(self) -> Tensor:
        return self.setup.truth_bu == self.target

    @property
    def other_bu(self) -> Tensor:
        return (self.setup.truth_bu != IGNORE) & ~self.target_bu
