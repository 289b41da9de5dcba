"""The model from the edited layer on: stored activations, plus a change, to class maps."""

import numpy as np
import torch
from torch import Tensor

from saev.activations.store import Store
from saev.backbones.backbone import Backbone
from saev.machine.machine import autocast
from saev.tasks.heads import SegmentationHead

BATCH = 8
"""Images per pass. On a CPU larger batches fall out of the cache; a GPU is fed well enough by one block's work."""


class Predictor:
    """Class maps of the first `n` images of a store that could be decoded, with their patch tokens at `layer` changed.

    Attributes:
        images: (n,) their numbers in the store.
        patches: (n, p, d) float32 patch activations, unchanged.
        labels: (n, p) int64.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: SegmentationHead,
        store: Store,
        layer: int,
        n: int,
        *,
        precision: str,
        device: str,
    ):
        self.backbone, self.head, self.layer = backbone.to(device), head.to(device), layer
        self.precision, self.device = precision, device
        self.images = np.flatnonzero(store.present)[:n]
        self._tokens = torch.from_numpy(store.residual(layer, self.images)).float()
        self.patches = self._tokens[:, backbone.n_special :]
        self.labels = torch.from_numpy(store.patch_labels()[self.images]).long()

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self, images: Tensor, change_bpd: Tensor | None = None) -> Tensor:
        """Predicted class of every patch (b, p) of `images` (b,), indices into `self.images`, with `change_bpd` (b, p, d) added."""
        special = self.backbone.n_special
        out = [torch.empty(0, self.labels.shape[1], dtype=torch.long)]
        with torch.inference_mode(), autocast(self.precision, self.device):
            for start in range(0, len(images), BATCH):
                tokens = self._tokens[images[start : start + BATCH]]
                if change_bpd is not None:
                    tokens[:, special:] += change_bpd[start : start + BATCH]
                final = self.backbone.suffix(tokens.to(self.device), self.layer)[:, special:].float()
                out.append(self.head(final).argmax(-1).cpu())
        return torch.cat(out)
