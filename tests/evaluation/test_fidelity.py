"""What a task keeps of an SAE's reconstructions."""

import copy

import numpy as np
import pytest
import torch

from saev.data import IGNORE
from saev.errors import SaevError
from saev.evaluation import measure_fidelity
from saev.sae import SAE, TopK
from saev.tasks import Continuation
from saev.tasks.heads import balanced_accuracy
from tests.activations.examples import CPU
from tests.relabelled import Relabelled

LAYER = 1


def continued(backbone, task, store, images=None, machine=CPU):
    images = np.arange(store.n_images) if images is None else images
    return Continuation.from_store(backbone, task, store, LAYER, images, machine)


def sae_of(tokens, **options):
    mean, scale = tokens.normalisation()
    return SAE(TopK(**{"d_sae": 48, "k": 48, **options}), torch.from_numpy(mean), scale).requires_grad_(False)


def perfect(tokens):
    """f = (z, -z) as positive parts: an exact code of any input."""
    sae = sae_of(tokens)
    sae.point(torch.cat([torch.eye(24), -torch.eye(24)]))
    return sae


def empty(tokens):
    """Reconstructs the mean token, whatever it sees."""
    sae = sae_of(tokens)
    sae.b_enc.fill_(-1e6)
    return sae


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("task", ("patch",)), ("task", ("cls", "patch")), ("image_task", ("cls",))],
)
def test_a_perfect_sae_recovers_all_and_one_that_says_the_mean_nothing(
    stores, tiny_vit, request, name, kinds
):
    tokens = stores["train"].tokens(LAYER, kinds)
    model = continued(tiny_vit, request.getfixturevalue(name), stores["train"])
    whole, nothing = (measure_fidelity(made(tokens), model, tokens) for made in (perfect, empty))
    assert whole["recovered"] == pytest.approx(1, abs=0.02)
    assert whole["reconstructed"] == pytest.approx(whole["original"], abs=0.02)
    assert nothing["reconstructed"] == nothing["mean"] and nothing["recovered"] == 0
    for key in ("original", "mean", "zero"):
        assert whole[key] == nothing[key]
    assert whole["images"] == 40


def test_an_edit_that_the_task_cannot_see_recovers_nothing(stores, tiny_vit, task):
    """After the last block no patch depends on the cls token: 0 of 0."""
    tokens = stores["val"].tokens(2, ("cls",))
    model = Continuation.from_store(tiny_vit, task, stores["val"], 2, np.arange(12), CPU)
    found = measure_fidelity(empty(tokens), model, tokens)
    assert found["original"] == found["mean"] == found["zero"] and found["recovered"] == 0


def replaced_by_hand(model, store, columns, instead_d):
    """The task's balanced accuracy with some columns of the residual stream overwritten."""
    x_btd = torch.from_numpy(store.acts(LAYER)[:].astype(np.float32))[torch.from_numpy(model.images)]
    x_btd[:, columns] = instead_d
    with torch.inference_mode():
        final_btd = model.backbone.suffix(x_btd, LAYER)
    truth = model.task.truth(store, model.images)
    predicted = model.task.logits(model.backbone, final_btd).argmax(-1)
    return balanced_accuracy(predicted[truth != IGNORE], truth[truth != IGNORE])


@pytest.mark.parametrize(
    ("name", "kinds", "columns"),
    [("task", ("patch",), slice(1, 17)), ("image_task", ("cls",), slice(0, 1))],
)
def test_each_replacement_is_what_it_says(stores, tiny_vit, request, name, kinds, columns):
    store, task = stores["val"], request.getfixturevalue(name)
    tokens, model = store.tokens(LAYER, kinds), continued(tiny_vit, task, store, np.array([11, 0, 5, 6, 2]))
    sae = sae_of(tokens, d_sae=32, k=4)
    found = measure_fidelity(sae, model, tokens)
    x_nd = torch.from_numpy(store.acts(LAYER)[:].astype(np.float32))[:, columns].reshape(-1, 24)
    of_images = x_nd.reshape(12, -1, 24)[torch.from_numpy(model.images)]
    with torch.no_grad():
        reconstructed = sae(of_images.reshape(-1, 24)).reshape(of_images.shape)
    assert found == {
        "original": pytest.approx(replaced_by_hand(model, store, columns, of_images)),
        "reconstructed": pytest.approx(replaced_by_hand(model, store, columns, reconstructed)),
        "mean": pytest.approx(replaced_by_hand(model, store, columns, x_nd.mean(0))),
        "zero": pytest.approx(replaced_by_hand(model, store, columns, 0.0)),
        "recovered": pytest.approx(
            (found["reconstructed"] - found["mean"]) / (found["original"] - found["mean"])
        ),
        "images": 5,
    }


def test_nothing_labelled_is_one_line(stores, tiny_vit, task):
    unlabelled = Relabelled(stores["val"], task.classes, np.full(12, IGNORE))
    tokens, model = unlabelled.tokens(LAYER), continued(tiny_vit, task, unlabelled)
    with pytest.raises(SaevError, match=f"^{unlabelled.path}: none of the 12 images is labelled"):
        measure_fidelity(perfect(tokens), model, tokens)


def test_on_another_device(stores, tiny_vit, task, elsewhere):
    tokens = stores["val"].tokens(LAYER)
    sae = sae_of(tokens, d_sae=32, k=4)
    expected = measure_fidelity(sae, continued(tiny_vit, task, stores["val"]), tokens)
    there = continued(copy.deepcopy(tiny_vit), copy.deepcopy(task), stores["val"], machine=elsewhere)
    assert measure_fidelity(sae, there, tokens) == pytest.approx(expected, abs=0.05)
