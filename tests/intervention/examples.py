"""Models cut open, with an SAE that reads them."""

import numpy as np
import scipy.sparse
import torch

from saev.features import Codes
from saev.intervention import Setup
from saev.sae import SAE, TopK
from saev.tasks import Continuation
from tests.activations.examples import CPU


def sae_of(tokens, **options) -> SAE:
    mean, scale = tokens.normalisation()
    made = SAE(TopK(**{"d_sae": 64, "k": 6, **options}), torch.from_numpy(mean), scale)
    return made.requires_grad_(False)


def all_tokens(tokens) -> torch.Tensor:
    """(n_images, t, d) float32."""
    return torch.from_numpy(tokens.store.acts(tokens.layer)[:].astype(np.float32)[:, tokens.positions])


def codes_of(sae, tokens) -> Codes:
    f_us = sae.encode(all_tokens(tokens).flatten(0, 1)).numpy()
    return Codes(scipy.sparse.csr_array(f_us), tokens.n_images, tokens.origin, sae.digest())


def opened(stores, backbone, task, kinds=("patch",), images=None, layer=1, machine=CPU) -> Setup:
    """An SAE with random directions on tokens of `kinds`, and some validation images continued from there."""
    train, val = (stores[split].tokens(layer, kinds) for split in ("train", "val"))
    sae = sae_of(train)
    images = np.arange(val.n_images) if images is None else images
    model = Continuation.from_store(backbone, task, val.store, layer, images, machine)
    return Setup(sae, model, val, codes_of(sae, train), codes_of(sae, val))


def commonest(setup: Setup, n: int) -> list[int]:
    """The n classes of which most units are."""
    truth = setup.truth_bu.flatten()
    return torch.bincount(truth[truth < 65535]).topk(n).indices.tolist()


def liveliest(setup: Setup, n: int) -> list[int]:
    """The n latents that fire most often in training."""
    return np.argsort(-setup.train.density, kind="stable")[:n].tolist()
