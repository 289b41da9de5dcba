"""A task of yes and no: of each concept that the source of the images describes whether a unit shows it."""

import numpy as np
import torch
from torch import Tensor

from saev.activations import Store
from saev.backbones.backbone import Backbone
from saev.machine import Machine
from saev.tasks.heads import ABSENT, TaskOptions, final_tokens
from saev.tasks.task import READOUTS, Task


def train_concepts(
    backbone: Backbone, store: Store, layer: int, options: TaskOptions, seed: int, machine: Machine
) -> Task | None:
    """Fit a logistic regression (sklearn) for each concept to a training split, continued from its stored
    `layer`, on the same units for all.

    Concepts of patches are read from patches, those of images from where `options` read an image.

    Returns:
        None where nothing is described, or no concept is both shown and lacked by the units drawn.
    """
    truth_iuc = store.concepts()
    if not truth_iuc.size:
        return None
    drawn = _draw(truth_iuc, options, seed)
    readout = _reads(backbone, store, options)
    features_nd = torch.cat(
        [
            units_ud[torch.from_numpy(drawn[i])]
            for numbers, final_btd in final_tokens(backbone, store, layer, np.array(list(drawn)), machine)
            for i, units_ud in zip(numbers, READOUTS[readout](backbone, final_btd), strict=True)
        ]
    ).numpy()
    truth_nc = np.concatenate([truth_iuc[i, units] for i, units in drawn.items()])
    found = _regressions(features_nd, truth_nc, options.c)
    if found is None:
        return None
    names, origin = tuple(store.attrs["concepts"]), store.origin(layer, tuple(backbone.tokens))
    return Task(found, classes=names, readout=readout, origin=origin, several=True)


def _reads(backbone: Backbone, store: Store, options: TaskOptions) -> str:
    if store.attrs["described"] == "patches":
        return "patches"
    if options.readout in ("cls", "mean"):
        return options.readout
    return "cls" if "cls" in backbone.tokens else "mean"


def _draw(truth_iuc: np.ndarray, options: TaskOptions, seed: int) -> dict[int, np.ndarray]:
    """Images to fit to, in order, and which units of each of which something is known."""
    rng = np.random.default_rng(seed)
    known_iu = np.any(truth_iuc >= 0, axis=2)
    images = np.flatnonzero(known_iu.any(1))
    most = options.max_images if known_iu.shape[1] > 1 else options.per_class * truth_iuc.shape[2]
    drawn = {}
    for i in np.sort(rng.choice(images, min(most, len(images)), replace=False)):
        units = np.flatnonzero(known_iu[i])
        drawn[i] = rng.choice(units, min(options.per_image, len(units)), replace=False)
    return drawn


def _regressions(x_nd: np.ndarray, truth_nc: np.ndarray, c: float) -> tuple[Tensor, Tensor] | None:
    """Weight (c, d) and bias on the features as they are; the standardisation is folded in."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scaler = StandardScaler().fit(x_nd)
    z_nd = scaler.transform(x_nd)
    weight_cd, bias_c = np.zeros((truth_nc.shape[1], x_nd.shape[1])), np.full(truth_nc.shape[1], ABSENT)
    for of, truth_n in enumerate(truth_nc.T):
        known = truth_n >= 0
        if len(np.unique(truth_n[known])) < 2:
            continue
        # Newton's: with many more units than features it needs a handful of steps, L-BFGS hundreds. On one
        # thread, since several would add the units up in an order of their own.
        with threadpool_limits(1):
            model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-6)
            model.fit(z_nd[known], truth_n[known])
        weight_cd[of] = model.coef_[0] / scaler.scale_
        bias_c[of] = model.intercept_[0] - model.coef_[0] @ (scaler.mean_ / scaler.scale_)
    if (bias_c == ABSENT).all():
        return None
    return torch.from_numpy(weight_cd).float(), torch.from_numpy(bias_c).float()


def evaluate_concepts(
    task: Task, backbone: Backbone, store: Store, layer: int, machine: Machine
) -> list[dict[str, object]]:
    """Of each concept that some units of the split show and others lack: how well its logit tells them apart
    (the area under the ROC curve), the mean of the shares that it says right of either, and their number."""
    from sklearn.metrics import roc_auc_score

    images = np.flatnonzero(store.present)
    passes = final_tokens(backbone, store, layer, images, machine)
    logits_buc = torch.cat([task.logits(backbone, final_btd) for _, final_btd in passes])
    rows = []
    for c, name in enumerate(task.classes):
        shown_bu = task.shown(store, images, c).numpy()
        known_bu = shown_bu >= 0
        truth_n, said_n = shown_bu[known_bu] > 0, task.says(logits_buc, c).numpy()[known_bu]
        if len(np.unique(truth_n)) < 2:
            continue
        auroc = roc_auc_score(truth_n, logits_buc[..., c].numpy()[known_bu])
        right = (said_n[truth_n].mean() + (~said_n[~truth_n]).mean()) / 2
        rows.append({"name": name, "auroc": auroc, "balanced_accuracy": right, "units": len(truth_n)})
    return rows
