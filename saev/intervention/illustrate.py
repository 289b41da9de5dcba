"""One edit per class, kept as maps to look at."""

from typing import NamedTuple

import numpy as np
import torch

from saev.features.codes import Split
from saev.intervention.edits import set_latent
from saev.intervention.predictor import Predictor
from saev.probing.match import Match
from saev.sae.model import SAE


class EditedImage(NamedTuple):
    """Class maps of one image before and after an edit on all its patches, each (p,)."""

    name: str
    """The target class."""
    image: int
    """Its number in the split."""
    before: np.ndarray
    after: np.ndarray


def illustrate(sae: SAE, predict: Predictor, matches: list[Match], classes: tuple[str, ...], train: Split, val: Split,
               strength: float) -> list[EditedImage]:  # fmt: skip
    """For each match edit the image in which its class covers closest to half: some of it must go and some must stay."""
    edited = []
    maximum = train.maximum
    for match in matches:
        share = (predict.labels == classes.index(match.name)).float().mean(1)
        if share.max() == 0:
            continue
        i = (share - 0.5).abs().argmin()[None]
        change = set_latent(sae, match.latent, strength * float(maximum[match.latent]), torch.from_numpy(val.images(match.latent))[i])
        edited.append(EditedImage(match.name, int(i), predict(i)[0].numpy(), predict(i, change)[0].numpy()))
    return edited
