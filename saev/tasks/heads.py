"""Fitting a task's linear map to labels: the output that fidelity and interventions are judged by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from saev.activations import Store
from saev.backbones.backbone import Backbone
from saev.checks import COUNT, Options, above
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.machine import Machine, track
from saev.statistics import spread_over_classes
from saev.tasks.task import READOUTS, Task, ignored_classes, without

ABSENT = -1e4
"""Logit of a class that the training split lacks."""
BATCH = 16


@dataclass(frozen=True, kw_only=True)
class TaskOptions(Options, section="task"):
    """Which task, and what it is fitted to."""

    readout: Literal["auto", "patches", "cls", "mean"] = "auto"
    """What it reads, of READOUTS. auto: patches where masks label them; where only images are labelled the
    cls token, or the mean patch token of a backbone without one."""
    ignore: tuple[str, ...] = ()
    """Classes that count in nothing, a dominant background for one."""
    max_images: Annotated[int, COUNT] = 600
    """Training images of a task on patches."""
    per_image: Annotated[int, COUNT] = 64
    """Random labelled patches of each; neighbouring patches say little new."""
    per_class: Annotated[int, COUNT] = 100
    """Training images of each class, on average, of a task on images."""
    c: Annotated[float, above(0, up_to=1e6)] = 0.1
    """Inverse L2 strength on standardised features."""

    def reads(self, backbone: Backbone, store: Store) -> str:
        """The readout; what `auto` means for these labels. SaevError for a cls token that is not there."""
        has_cls = "cls" in backbone.tokens
        if self.readout == "cls" and not has_cls:
            raise SaevError(
                f"task.readout is cls, but {backbone.name} has no cls token; mean reads its patches"
            )
        if self.readout != "auto":
            return self.readout
        if store.labelled == "patches":
            return "patches"
        return "cls" if has_cls else "mean"

    def fit(self, backbone: Backbone, store: Store, layer: int, seed: int, machine: Machine) -> Task | None:
        """The task, or None, as `train_task` has it."""
        return train_task(backbone, store, layer, self, seed, machine)


def train_task(
    backbone: Backbone, store: Store, layer: int, options: TaskOptions, seed: int, machine: Machine
) -> Task | None:
    """Fit multinomial logistic regression (sklearn, L-BFGS) to a training split, continued from its stored
    `layer`.

    Returns:
        None where the units drawn are not of two classes at least.
    """
    readout = options.reads(backbone, store)
    ignored = ignored_classes(options.ignore, store.classes, "task.ignore")
    labels = store.patch_labels() if readout == "patches" else store.image_labels()[:, None]
    labels_iu = without(labels, ignored)
    drawn = _draw(labels_iu, readout, options, len(store.classes), seed)
    target_n = np.concatenate([labels_iu[i, units] for i, units in drawn.items()] or [[]])
    if len(np.unique(target_n)) < 2:
        return None
    features = [
        units_ud[torch.from_numpy(drawn[i])]
        for numbers, final_btd in final_tokens(backbone, store, layer, np.array(list(drawn)), machine)
        for i, units_ud in zip(numbers, READOUTS[readout](backbone, final_btd), strict=True)
    ]
    linear = _regression(torch.cat(features).numpy(), target_n, len(store.classes), options.c)
    origin = store.origin(layer, tuple(backbone.tokens))
    return Task(linear, classes=store.classes, readout=readout, origin=origin, ignored=ignored)


def _draw(
    labels_iu: np.ndarray, readout: str, options: TaskOptions, n_classes: int, seed: int
) -> dict[int, np.ndarray]:
    """Images to fit to, in order, and which labelled units of each."""
    rng = np.random.default_rng(seed)
    images = np.flatnonzero((labels_iu != IGNORE).any(1))
    if readout == "patches":
        images = rng.choice(images, min(options.max_images, len(images)), replace=False)
    else:
        images = images[spread_over_classes(labels_iu[images, 0], options.per_class * n_classes, seed)]
    drawn = {}
    for i in np.sort(images):
        known = np.flatnonzero(labels_iu[i] != IGNORE)
        drawn[i] = rng.choice(known, min(options.per_image, len(known)), replace=False)
    return drawn


def final_tokens(
    backbone: Backbone, store: Store, layer: int, images: np.ndarray, machine: Machine
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield (image numbers, final normalised tokens (b, t, d) float32 on the CPU), continued from the stored
    `layer`."""
    backbone = backbone.to(machine.device)
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    for numbers in track(batches, f"head of {store.path}", len(images), size=len):
        x_btd = torch.from_numpy(store.residual(layer, numbers)).float().to(machine.device)
        # Left before the yield: a suspended generator would leave autocast on in whoever asked.
        with torch.inference_mode(), machine.autocast():
            final_btd = backbone.suffix(x_btd, layer).float().cpu()
        yield numbers, final_btd


def _regression(x_nd: np.ndarray, y_n: np.ndarray, n_classes: int, c: float) -> tuple[Tensor, Tensor]:
    """Weight (n_classes, d) and bias on the features as they are; the standardisation is folded in."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x_nd)
    model = LogisticRegression(C=c, max_iter=300, tol=1e-3).fit(scaler.transform(x_nd), y_n)
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # sklearn keeps one row for two classes: the logit of the second
        coef, intercept = np.stack([0 * coef[0], coef[0]]), np.array([0.0, intercept[0]])
    weight, bias = np.zeros((n_classes, x_nd.shape[1])), np.full(n_classes, ABSENT)
    weight[model.classes_] = coef / scaler.scale_
    bias[model.classes_] = intercept - coef @ (scaler.mean_ / scaler.scale_)
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


def evaluate_task(
    task: Task, backbone: Backbone, store: Store, layer: int, machine: Machine
) -> dict[str, float | int]:
    """Accuracy, balanced accuracy (the mean recall over classes), mean intersection over union, and of how
    many units.

    Raises:
        SaevError: nothing in the split is labelled.
    """
    from torchmetrics.functional.classification import multiclass_jaccard_index

    images, task = np.flatnonzero(store.present), task.to(machine.device)
    with torch.inference_mode():
        found = [
            task.logits(backbone, final.to(machine.device)).argmax(-1).cpu()
            for _, final in final_tokens(backbone, store, layer, images, machine)
        ]
    predicted, truth = torch.cat(found).flatten(), task.truth(store, images).flatten()
    known = truth != IGNORE
    if not known.any():
        raise SaevError(f"{store.path}: nothing is labelled that a task could be measured on")
    predicted, truth = predicted[known], truth[known]
    iou = multiclass_jaccard_index(predicted, truth, num_classes=len(task.classes))
    return {
        "accuracy": (predicted == truth).double().mean().item(),
        "balanced_accuracy": balanced_accuracy(predicted, truth),
        "miou": iou.item(),
        "units": len(truth),
        "classes": len(truth.unique()),
    }


def balanced_accuracy(predicted: Tensor, truth: Tensor) -> float:
    """The mean over the classes that are there of the share of their units that are predicted right."""
    right = [(predicted[truth == c] == c).double().mean() for c in truth.unique()]
    return torch.stack(right).mean().item()
