"""The text tower of a model that was trained to see what words say."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Words(NamedTuple):
    """Texts in the space of `Backbone.output`: an image's logit of each is scale <o / |o|, unit> + bias."""

    unit_no: Tensor
    """(n, o) float32, of length 1."""
    scale: float
    """The inverse temperature of the training."""
    bias: float
    """0 but for models that were trained with a sigmoid (SigLIP)."""


def embed(model: Any, tokenize: Callable[[list[str]], Tensor], texts: Sequence[str]) -> Words:
    """What one of open_clip's models, with both its towers, makes of some texts."""
    bias = getattr(model, "logit_bias", None)
    with torch.no_grad():
        unit_no = model.encode_text(tokenize(list(texts)), normalize=True).float()
        return Words(unit_no, model.logit_scale.exp().item(), 0.0 if bias is None else bias.item())
