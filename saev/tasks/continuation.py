"""The model from an edited layer on: tokens of some images at that layer, plus a change, to a task's
logits."""

import numpy as np
import torch
from torch import Tensor

from saev.activations import Store
from saev.backbones.backbone import Backbone
from saev.machine import Machine
from saev.tasks.task import Task

BATCH = 8
"""Images per pass. On a CPU larger batches fall out of the cache; a GPU is fed well enough by one block's
work."""


class Continuation:
    """What `task` says of some images when the tokens after `layer` are changed; every kind of token can be.

    Attributes:
        x_btd: (n, t, d) float32 tokens after `layer`, unchanged.
        images: (n,) their numbers in the store, or 0, 1, ...
    """

    def __init__(self, backbone: Backbone, task: Task, layer: int, x_btd: Tensor, machine: Machine):
        self.backbone, self.task = backbone.to(machine.device), task.to(machine.device)
        self.layer, self.machine, self.x_btd = layer, machine, x_btd
        self.images = np.arange(len(x_btd))

    @classmethod
    def from_store(
        cls, backbone: Backbone, task: Task, store: Store, layer: int, images: np.ndarray, machine: Machine
    ) -> "Continuation":
        """Continue from what was recorded of these images."""
        x_btd = torch.from_numpy(store.residual(layer, images)).float()
        made = cls(backbone, task, layer, x_btd, machine)
        made.images = images
        return made

    @classmethod
    def from_pixels(
        cls, backbone: Backbone, task: Task, layer: int, pixels_bhwc: Tensor, machine: Machine
    ) -> "Continuation":
        """Continue from images, (b, h, w, 3) uint8, that nobody has recorded."""
        backbone = backbone.to(machine.device)
        with torch.inference_mode(), machine.autocast():
            (x_btd,) = backbone.prefix(backbone.preprocess.normalise(pixels_bhwc.to(machine.device)), [layer])
        return cls(backbone, task, layer, x_btd.float().cpu(), machine)

    def __len__(self) -> int:
        return len(self.x_btd)

    def logits(self, images: Tensor | None = None, change_btd: Tensor | None = None) -> Tensor:
        """(b, u, c) float32 logits of `images` (b,), indices into `self.images`, with `change_btd` (b, t, d)
        added."""
        images = torch.arange(len(self)) if images is None else images
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                x_btd = self.x_btd[images[start : start + BATCH]]
                if change_btd is not None:
                    x_btd = x_btd + change_btd[start : start + BATCH]
                with self.machine.autocast():
                    final_btd = self.backbone.suffix(x_btd.to(self.machine.device), self.layer)
                parts.append(self.task.logits(self.backbone, final_btd.float()).cpu())
        if not parts:  # no images, but as many units of each as ever
            return torch.empty(0, self.task.units(self.backbone), len(self.task.classes))
        return torch.cat(parts)

    def predict(self, images: Tensor | None = None, change_btd: Tensor | None = None) -> Tensor:
        """(b, u) the class with the largest logit."""
        return self.logits(images, change_btd).argmax(-1)
