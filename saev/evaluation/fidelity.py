"""Downstream fidelity: does the model still work when it sees only what the SAE explains?"""

import torch

from saev.data.sample import IGNORE
from saev.sae.model import SAE
from saev.tasks.continuation import Predictor


def fidelity(sae: SAE, predict: Predictor) -> dict[str, float]:
    """Patch accuracy with the layer's patch tokens kept, reconstructed by the SAE, and set to zero.

        recovered = (accuracy_reconstructed - accuracy_zero) / (accuracy_original - accuracy_zero)

    Special tokens (cls, registers) are kept in all three.
    """
    sae.check_width(predict.patches.shape[-1], "fidelity")
    images, x = torch.arange(len(predict)), predict.patches
    with torch.no_grad():
        reconstruction = torch.stack([sae(x_pd) for x_pd in x])
    known = predict.labels != IGNORE
    original, reconstructed, zero = (
        (predict(images, change) == predict.labels)[known].double().mean().item()
        for change in (None, reconstruction - x, -x)
    )
    recovered = (reconstructed - zero) / (original - zero) if original != zero else 0.0
    return {
        "accuracy_original": original,
        "accuracy_reconstructed": reconstructed,
        "accuracy_zero": zero,
        "recovered": recovered,
    }
