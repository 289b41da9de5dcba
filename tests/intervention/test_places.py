"""Where an edit acts, by construction of masks, and for every pairing of task and kind of token."""

import numpy as np
import pytest
import timm
import torch

from saev.backbones.from_timm import TimmVit
from saev.data import IGNORE, Mosaic
from saev.intervention import Arm
from saev.intervention.places import PLACES, Scene
from saev.intervention.trial import Trial
from saev.tasks import Task
from tests.activations.examples import make
from tests.intervention.examples import commonest, liveliest, opened


def test_places_are_these_masks():
    true = torch.tensor([[True, False, False], [False, False, True]])
    predicted = torch.tensor([[False, True, False], [True, True, True]])
    fires = torch.tensor([[False, False, True], [True, False, False]])
    found = {name: place(Scene(true, predicted, fires)) for name, place in PLACES.items()}
    expected = {"all": torch.ones(2, 3, dtype=bool), "class": true, "predicted": predicted, "active": fires}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def masks_of(setup, target, latent):
    """The masks of every place, each token looked at on its own."""
    store, numbers = setup.tokens.store, setup.model.images
    n_special = setup.model.backbone.n_special
    before = setup.model.predict()
    masks = {name: torch.zeros(len(numbers), setup.tokens.per_image, dtype=bool) for name in PLACES}
    for b, image in enumerate(numbers):
        for t, position in enumerate(setup.tokens.positions):
            patch = position - n_special if position >= n_special else None
            label = store.image_labels()[image] if patch is None else store.patch_labels()[image, patch]
            own = patch is not None and setup.model.task.readout == "patches"
            said = before[b, patch] == target if own else (before[b] == target).any()
            masks["all"][b, t] = True
            masks["class"][b, t] = bool(label == target)
            masks["predicted"][b, t] = said
            masks["active"][b, t] = bool(setup.val.maps(latent)[image, t] > 0)
    return masks


def check(setup, target, latent):
    trial = Trial(setup, target, (latent,), seed=0)
    masks, edit = masks_of(setup, target, latent), trial.edit((latent,), "set", -2.0)
    for name, mask_bt in masks.items():
        arm = Arm(place=name, strengths=(-2.0,), images=1)
        assert torch.equal(arm.applied(trial, -2.0).change(), edit.change() * mask_bt[..., None])
    return masks


@pytest.mark.parametrize("readout", ["task", "image_task"])
@pytest.mark.parametrize("kinds", [("patch",), ("cls",), ("cls", "patch")])
def test_an_arm_acts_in_its_place_only(stores, tiny_vit, request, kinds, readout):
    setup = opened(stores, tiny_vit, request.getfixturevalue(readout), kinds, images=np.array([8, 2, 0, 5]))
    said = torch.bincount(setup.before_bu.flatten())
    for target in {*commonest(setup, 1), int(said.argmax())}:
        check(setup, target, liveliest(setup, 1)[0])


def test_registers_are_no_patches_even_if_there_are_as_many(tmp_path):
    """4 registers and 2 x 2 patches: of a register only its image is predicted."""
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_small_patch14_reg4_dinov2", img_size=28, depth=2, embed_dim=24, num_heads=3
    )
    backbone = TimmVit(model, name="four and four")
    val = make(backbone, tmp_path, Mosaic(split="val", n=6, size=32))
    weight = torch.randn(16, 24)
    task = Task(
        (weight, torch.zeros(16)), classes=val.classes, readout="patches", origin=val.origin(1, ("patch",))
    )
    setup = opened({"train": val, "val": val}, backbone, task, ("register",))
    before = setup.before_bu
    target = next(c for c in before.unique().tolist() if (before == c).any(1).any())
    masks = check(setup, target, liveliest(setup, 1)[0])
    np.testing.assert_array_equal(masks["predicted"].all(1), masks["predicted"].any(1))


def test_units_without_a_label_are_of_no_class(setup):
    known = setup.labels_bt != IGNORE
    assert known.any() and not known.all()
    trial = Trial(setup, commonest(setup, 1)[0], (0,), seed=0)
    scene = trial.scene(torch.zeros_like(known))
    assert not (scene.true_bt & ~known).any()
    assert torch.equal(trial.target_bu | trial.other_bu, setup.truth_bu != IGNORE)
    assert not (trial.target_bu & trial.other_bu).any()
