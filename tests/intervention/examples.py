"""Models cut open, with an SAE that reads them."""

import numpy as np
import scipy.sparse
import torch

from saev.data import IGNORE
from saev.features import Codes
from saev.intervention import Directions, Outcome, Setup
from saev.intervention.measures import MEASURES, Change, Sums
from saev.intervention.transitions import Recall, Transitions
from saev.probing import classes_of_tokens
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


def changed(rng, shape, *, several=False, labelled=0.8) -> Change:
    """Random logits (n, u, c) before and after an edit, of which about half of the units change, with the
    truth known of a share; `several`: each class is a question of its own."""
    n, u, c = shape
    before = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
    edited = torch.from_numpy(rng.random((n, u, 1)) < 0.5)
    after = torch.where(edited, before + torch.from_numpy(rng.normal(size=shape).astype(np.float32)), before)
    known, target = torch.from_numpy(rng.random((n, u)) < labelled), int(rng.integers(c))
    truth = torch.where(known, torch.from_numpy(rng.integers(0, c, (n, u))), IGNORE)
    if several:
        shows = torch.from_numpy(rng.random((n, u)) < 0.3)
        return Change(before, after, target, known & shows, known & ~shows, None)
    return Change(before, after, target, truth == target, known & (truth != target), truth)


def outcome(target, counts, *, arm, strength=-1.0, classes=("a", "b")) -> Outcome:
    """From rows (target changed, target, other changed, other), one value per image each, that say nothing of
    probabilities, of which answers are right, or of where they go."""
    target_changed, targets, other_changed, others = np.array(counts, float)
    without = targets == 0
    sums = dict.fromkeys(MEASURES, Sums(np.zeros(len(targets)), np.zeros(len(targets))))
    sums["target"], sums["other"] = Sums(target_changed, targets), Sums(other_changed, others)
    sums["collateral"] = Sums(other_changed * without, others * without)
    nowhere = scipy.sparse.csr_array((len(classes), len(classes)), dtype=np.int64)
    right = Recall(*np.zeros((3, len(classes)), int))
    return Outcome(arm, target, strength, sums, right, Transitions(classes, nowhere))


def directions_of(tokens, codes) -> Directions:
    """Those of the classes of the training tokens."""
    return Directions((codes, classes_of_tokens(tokens), tokens), seed=0)
