"""Downstream fidelity: does the model still work when it sees only what the SAE explains?"""

import numpy as np
import torch

from saev.activations import Tokens
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.sae.model import SAE
from saev.tasks import Continuation
from saev.tasks.heads import balanced_accuracy


@torch.no_grad()
def measure_fidelity(sae: SAE, model: Continuation, tokens: Tokens) -> dict[str, float | int]:
    """A task's accuracy with the layer's tokens kept, reconstructed by the SAE, and made to say nothing.

        recovered = (reconstructed - mean) / (original - mean)

    each the balanced accuracy: the mean recall over classes, which a dominant class cannot carry. `mean`
    replaces every token by the split's mean token, `zero` by zeros, which a model has never seen. Tokens of
    kinds that the SAE does not read are kept in all four.

    Args:
        model: continued from images of the store of `tokens`.

    Raises:
        SaevError: none of these images is labelled.
    """
    images = model.images
    truth_bu = model.task.truth(tokens.store, images)
    known = truth_bu != IGNORE
    if not known.any():
        raise SaevError(
            f"{tokens.path}: none of the {len(images)} images is labelled, so fidelity has no measure"
        )
    x_btd = torch.from_numpy(tokens.at(images[:, None], np.arange(tokens.per_image))).float()
    mean_d = torch.from_numpy(tokens.normalisation()[0]).float()
    replaced = {
        "original": x_btd,
        "reconstructed": torch.stack([sae(x_td) for x_td in x_btd]),
        "mean": mean_d.expand_as(x_btd),
        "zero": torch.zeros_like(x_btd),
    }
    found = {}
    for name, instead_btd in replaced.items():
        change_btd = torch.zeros_like(model.x_btd)
        change_btd[:, torch.from_numpy(tokens.positions)] = instead_btd - x_btd
        found[name] = balanced_accuracy(model.predict(change_btd=change_btd)[known], truth_bu[known])
    span = found["original"] - found["mean"]
    recovered = (found["reconstructed"] - found["mean"]) / span if span else 0.0
    return {**found, "recovered": recovered, "images": len(images)}
