"""One edit per class, kept as maps to look at."""

from typing import NamedTuple

import numpy as np
import torch

from saev.features.codes import Split
from saev.intervention.edits import set_latent
from saev.probing.match import Match
from saev.sae.model import SAE
from saev.tasks.continuation import Predictor


class EditedImage(NamedTuple):
    """Class maps of one image before and after an edit on all its patches, each (p,)."""

    name: str
    """The target class."""
    image: int
    """Its number in the split."""
    before: np.ndarray
    after: np.ndarray


def illustrate(
    sae: SAE,
    predict: Predictor,
    matches: list[Match],
    classes: tuple[str, ...],
    train: Split,
    val: Split,
    strength: float,
) -> list[EditedImage]:
    """For each match edit one image: the class covers about half of it, and the head segments it well before the edit.

    (An edit can only be seen to work on what was right before; the figures of the experiment use all images.)
    """
    edited = []
    maximum = train.maximum
    right = (predict(torch.arange(len(predict))) == predict.labels).float().mean(1)
    for match in matches:
        share = (predict.labels == classes.index(match.name)).float().mean(1)
        if share.max() == 0:
            continue
        i = (right - (share - 0.5).abs() - (share == 0).float()).argmax()[None]
        codes_bp = torch.from_numpy(val.images(match.latent)[predict.images])[i]
        edit = set_latent(sae, match.latent, strength * float(maximum[match.latent]), codes_bp)
        edited.append(
            EditedImage(
                match.name,
                int(predict.images[i]),
                predict(i)[0].numpy(),
                predict(i, edit.change())[0].numpy(),
            )
        )
    return edited
