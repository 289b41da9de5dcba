"""Where an edit acts: a kind of place is one function of what is known of the tokens."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Scene(NamedTuple):
    """What a place may depend on; masks over the tokens that the SAE reads, (b, t)."""

    true_bt: Tensor
    """The token's label is the target class."""
    predicted_bt: Tensor
    """The model takes it, or its image, for the target class before the edit."""
    fires_bt: Tensor
    """The edited feature is active."""


PLACES: dict[str, Callable[[Scene], Tensor]] = {
    "all": lambda scene: torch.ones_like(scene.true_bt),
    "class": lambda scene: scene.true_bt,
    "predicted": lambda scene: scene.predicted_bt,
    "active": lambda scene: scene.fires_bt,
}
"""On every token; on those whose true class, or whose predicted class, is the target's; where the feature
fires."""
