"""Which class's images an image is most like: retrieval in the space of what the model returns.

    logit_c = <o / |o|, q_c>        q_c = unit(mean over training images i of class c of o_i / |o_i|)

The logits are cosines, so that an edit moves similarities; the answer is the nearest query.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F

from saev.activations import Store
from saev.backbones.backbone import Backbone
from saev.checks import COUNT, Options
from saev.data.sample import IGNORE
from saev.machine import Machine
from saev.statistics import spread_over_classes
from saev.tasks.heads import ABSENT, final_tokens
from saev.tasks.task import READOUTS, Task, ignored_classes, without


@dataclass(frozen=True, kw_only=True)
class Retrieval(Options, section="task"):
    """What is retrieved by."""

    per_class: Annotated[int, COUNT] = 10
    """Training images of each query, on average."""
    ignore: tuple[str, ...] = ()
    """Classes that count in nothing."""

    def fit(self, backbone: Backbone, store: Store, layer: int, seed: int, machine: Machine) -> Task | None:
        """The task of the store's classes; None where the images drawn are not of two at least."""
        ignored = ignored_classes(self.ignore, store.classes, "task.ignore")
        label_i = without(store.image_labels(), ignored)
        known, n_classes = np.flatnonzero(label_i != IGNORE), len(store.classes)
        images = np.sort(known[spread_over_classes(label_i[known], self.per_class * n_classes, seed)])
        label_n = torch.from_numpy(label_i[images].astype(np.int64))
        if len(label_n.unique()) < 2:
            return None
        with torch.inference_mode():
            parts = [
                READOUTS["joint"](backbone, final_btd.to(machine.device))[:, 0].cpu()
                for _, final_btd in final_tokens(backbone, store, layer, images, machine)
            ]
        unit_no = torch.cat(parts)
        sum_co = torch.zeros(n_classes, unit_no.shape[1]).index_add_(0, label_n, unit_no)
        there_c = torch.bincount(label_n, minlength=n_classes) > 0
        linear = F.normalize(sum_co, dim=-1), torch.where(there_c, 0.0, ABSENT)
        origin = store.origin(layer, tuple(backbone.tokens))
        return Task(linear, classes=store.classes, readout="joint", origin=origin, ignored=ignored)
