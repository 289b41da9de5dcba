"""Images that nobody has recorded, as a model's tokens, and of these what an SAE reads."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from saev.backbones.backbone import Backbone
from saev.machine import Machine


def after_layer(backbone: Backbone, layer: int, pixels_bhwc: np.ndarray, machine: Machine) -> Tensor:
    """(b, t, d) float32 on the CPU: all tokens after `layer`, of images (b, h, w, 3) uint8 of the model's
    size."""
    pixels = torch.tensor(pixels_bhwc).to(machine.device)
    with torch.inference_mode(), machine.autocast():
        (x_btd,) = backbone.to(machine.device).prefix(backbone.preprocess.normalise(pixels), [layer])
    return x_btd.float().cpu()


def of_kinds(x_btd: Tensor, backbone: Backbone, kinds: Sequence[str]) -> Tensor:
    """(b, t, d) those of some kinds, in their order, of all tokens of the model; `meanpool` is the mean
    patch."""
    spans = backbone.tokens
    mean_b1d = x_btd[:, slice(*spans["patch"])].mean(1, keepdim=True)
    return torch.cat([mean_b1d if kind == "meanpool" else x_btd[:, slice(*spans[kind])] for kind in kinds], 1)
