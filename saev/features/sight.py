"""What latents make of images that nobody has recorded."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saev.activations import agree
from saev.backbones.backbone import Backbone
from saev.errors import SaevError
from saev.machine import Machine
from saev.sae.kernels.sparse import Codes
from saev.sae.model import SAE


@dataclass(frozen=True)
class Sight:
    """Pixels -> patch tokens after `layer` -> codes.

    Raises:
        SaevError: the SAE reads no patches, or those of another model or layer.
    """

    sae: SAE
    backbone: Backbone
    layer: int
    machine: Machine

    def __post_init__(self):
        for part in (self.sae, self.backbone):
            part.to(self.machine.device)
        if self.sae.d != self.backbone.d:
            wide = f"{self.backbone.name} has width {self.backbone.d}"
            raise SaevError(f"{wide}, the SAE was trained on width {self.sae.d}")
        if (origin := self.sae.origin) is None:  # of another library
            return
        here = origin._replace(
            backbone=self.backbone.name,
            weights=self.backbone.weights_hash(),
            geometry=self.backbone.geometry,
            layer=self.backbone.layer_index(self.layer),
        )
        agree(here, origin, "the backbone", "the SAE")
        if "patch" not in origin.kinds:
            raise SaevError(f"the SAE must read patch tokens, it reads {' and '.join(origin.kinds)}")

    def tokens(self, pixels_bhwc: np.ndarray) -> Tensor:
        """(b, patches, d) float32 of images (b, h, w, 3) uint8, of the model's size."""
        pixels = torch.tensor(pixels_bhwc).to(self.machine.device)
        with torch.inference_mode(), self.machine.autocast():
            (x_btd,) = self.backbone.prefix(self.backbone.preprocess.normalise(pixels), [self.layer])
        return x_btd[:, slice(*self.backbone.tokens["patch"])].float()

    def codes(self, pixels_bhwc: np.ndarray) -> Codes:
        """Of every patch, image by image."""
        with torch.inference_mode():
            return self.sae.codes(self.tokens(pixels_bhwc).flatten(0, 1))

    def code(self, pixels_bhwc: np.ndarray, latent: int, patches: slice = slice(None)) -> np.ndarray:
        """(b, patches) float32 codes of a latent on some of the patches."""
        with torch.inference_mode():
            x_bpd = self.tokens(pixels_bhwc)[:, patches]
            codes_ns = self.sae.encode(x_bpd.flatten(0, 1))
        return codes_ns[:, latent].reshape(x_bpd.shape[:2]).cpu().numpy()
