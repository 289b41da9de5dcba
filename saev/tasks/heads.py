"""A linear segmentation head on the backbone's final patch tokens: the output that interventions are judged by."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from saev.activations.store import Store
from saev.backbones.backbone import Backbone
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.machine.machine import autocast
from saev.machine.progress import track

ABSENT = -1e4
"""Logit of a class that the training split lacks."""


class SegmentationHead(nn.Module):
    """class logits (b, p, c) = tokens (b, p, d) @ weight (c, d)^T + bias, for patch tokens after the final norm."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, tokens_bpd: Tensor) -> Tensor:
        return tokens_bpd @ self.weight.T + self.bias


def final_patches(
    backbone: Backbone,
    store: Store,
    layer: int,
    images: np.ndarray,
    *,
    batch_size: int = 16,
    precision: str = "auto",
    device: str = "cpu",
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield (image numbers, final normalised patch tokens (b, p, d)), continued from the stored `layer`."""
    backbone = backbone.to(device)
    starts = range(0, len(images), batch_size)
    with torch.inference_mode(), autocast(precision, device):
        for start in track(starts, "suffix", len(images), size=batch_size):
            numbers = images[start : start + batch_size]
            tokens = torch.from_numpy(store.residual(layer, numbers)).float().to(device)
            yield numbers, backbone.suffix(tokens, layer)[:, backbone.n_special :].float().cpu()


def train_head(
    backbone: Backbone,
    store: Store,
    layer: int,
    *,
    seed: int,
    max_images: int = 600,
    per_image: int = 64,
    c: float = 1.0,
    precision: str = "auto",
    device: str = "cpu",
) -> SegmentationHead:
    """Fit multinomial logistic regression (sklearn, L-BFGS) on random labelled patches of the training split.

    Args:
        max_images, per_image: at most so many images, and patches of each; neighbouring patches say little new.
        c: inverse L2 strength on standardised features.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    images = np.sort(
        rng.choice(present := np.flatnonzero(store.present), min(max_images, len(present)), replace=False)
    )
    labels = store.patch_labels()
    features, targets = [], []
    for numbers, tokens_bpd in final_patches(
        backbone, store, layer, images, precision=precision, device=device
    ):
        for i, tokens_pd in zip(numbers, tokens_bpd, strict=True):
            known = np.flatnonzero(labels[i] != IGNORE)
            chosen = rng.choice(known, min(per_image, len(known)), replace=False)
            features.append(tokens_pd[torch.from_numpy(chosen)].numpy())
            targets.append(labels[i][chosen])
    x, y = np.concatenate(features), np.concatenate(targets)
    if len(np.unique(y)) < 2:
        raise SaevError(
            f"{store.path}: a segmentation head needs labelled patches of at least 2 classes, found {len(np.unique(y))}"
        )
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=c, max_iter=300, tol=1e-3).fit(scaler.transform(x), y)
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # sklearn keeps one row for two classes: the logit of the second
        coef, intercept = np.stack([0 * coef[0], coef[0]]), np.array([0.0, intercept[0]])
    weight = np.zeros((len(store.classes), store.d))
    bias = np.full(len(store.classes), ABSENT)
    weight[model.classes_] = coef / scaler.scale_
    bias[model.classes_] = intercept - coef @ (scaler.mean_ / scaler.scale_)
    return SegmentationHead(torch.from_numpy(weight).float(), torch.from_numpy(bias).float())


def evaluate_head(head: SegmentationHead, backbone: Backbone, store: Store, layer: int, **options) -> dict:
    """Accuracy and mean intersection over union of the labelled patches of a split."""
    from torchmetrics.functional.classification import multiclass_jaccard_index

    images = np.flatnonzero(store.present)
    predictions = [
        head(tokens).argmax(-1) for _, tokens in final_patches(backbone, store, layer, images, **options)
    ]
    predicted, labels = (
        torch.cat(predictions).flatten(),
        torch.from_numpy(store.patch_labels()[images].ravel()).long(),
    )
    known = labels != IGNORE
    if not known.any():
        raise SaevError(f"{store.path}: no labelled patch to measure a segmentation head on")
    iou = multiclass_jaccard_index(predicted[known], labels[known], num_classes=len(store.classes))
    return {"accuracy": (predicted == labels)[known].double().mean().item(), "miou": iou.item()}


def save_head(head: SegmentationHead, path: str | Path) -> None:
    """Write the head as a safetensors file."""
    from safetensors.torch import save_file

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(head.state_dict(), path)


def load_head(path: str | Path, store: Store) -> SegmentationHead:
    """Read a head for the classes and width of `store`. Raises SaevError if it is missing or of others."""
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise SaevError(f"{path}: no segmentation head there; train one with the head stage")
    head = SegmentationHead(**load_file(path))
    if head.weight.shape != (len(store.classes), store.d):
        raise SaevError(
            f"{path}: head is {tuple(head.weight.shape)}, {store.path} needs {(len(store.classes), store.d)} (classes, width)"
        )
    return head
