"""Classes that are told by words alone: no label is looked at.

    logit_c = scale <o / |o|, w_c> + bias        o: what the model returns of the image
    w_c     = unit(mean over templates of text("a photo of a <class>."))

with the texts at unit length and the scale and bias of the model's training (Radford et al. 2021, section
3.1.4; the bias: SigLIP, Zhai et al. 2023).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from saev.activations import Store
from saev.backbones.backbone import Backbone
from saev.checks import Options
from saev.errors import SaevError
from saev.machine import Machine
from saev.tasks.task import Task, ignored_classes


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Options, section="task"):
    """How the classes are put in words."""

    templates: tuple[str, ...] = ("a photo of a {}.",)
    """Sentences with {} for the name of the class, whose directions are averaged."""
    ignore: tuple[str, ...] = ()
    """Classes that count in nothing."""

    def __post_init__(self):
        super().__post_init__()
        if not self.templates:
            raise SaevError("task.templates must name at least one sentence, got []")
        for template in self.templates:
            if template.count("{}") != 1:
                raise SaevError(f"task.templates must each have {{}} for the class once, got {template!r}")

    def fit(self, backbone: Backbone, store: Store, layer: int, seed: int, machine: Machine) -> Task | None:
        """The task of the store's classes; None where the images have none.

        Raises:
            SaevError: the backbone reads no texts.
        """
        if backbone.texts is None:
            raise SaevError(f"task: {backbone.name} has no text tower, as open_clip's models have")
        if store.labelled is None:
            return None
        ignored = ignored_classes(self.ignore, store.classes, "task.ignore")
        words = [name.replace("_", " ") for name in store.classes]
        found = backbone.texts([template.replace("{}", of) for of in words for template in self.templates])
        mean_co = found.unit_no.unflatten(0, (len(words), len(self.templates))).mean(1)
        linear = found.scale * F.normalize(mean_co, dim=-1), torch.full((len(words),), found.bias)
        origin = store.origin(layer, tuple(backbone.tokens))
        return Task(linear, classes=store.classes, readout="joint", origin=origin, ignored=ignored)
