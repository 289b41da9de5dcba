"""Counts of an experiment against a computation that decodes, continues and compares every image."""

import copy
import dataclasses

import numpy as np
import pytest
import scipy.sparse
import torch

from saev.data import IGNORE, Mosaic
from saev.errors import SaevError
from saev.intervention import Arm, Setup, run_experiment, trials
from saev.intervention.controls import push_along, random_direction
from saev.intervention.edits import edit_latents
from saev.sae import SAE, TopK
from saev.tasks import Continuation
from tests.activations.examples import CPU, make
from tests.intervention.examples import all_tokens, commonest, liveliest, opened

STRENGTHS = (0.0, -3.0)


def predicted_directly(setup, x_btd):
    """The classes that the task sees after all tokens of the layer are x_btd."""
    with torch.inference_mode():
        final_btd = setup.model.backbone.suffix(x_btd, setup.tokens.layer)
    task = setup.model.task
    units = final_btd[:, 1:] if task.readout == "patches" else final_btd[:, :1]
    return (units @ task.weight.T + task.bias).argmax(-1)


def edited_directly(setup, trial, arm, strength):
    """(x - x_hat) + decode(f'), where the arm acts, for every image."""
    x_btd = all_tokens(setup.tokens)[torch.from_numpy(setup.model.images)]
    f = setup.sae.encode(x_btd.flatten(0, 1))
    latent = trial.similar if arm.control == "random latent" else trial.latent
    new = f.clone()
    new[:, latent] = strength * float(setup.train.csr.toarray()[:, latent].max()) if arm.edit == "set" else 0
    difference = (setup.sae.decode(new) - setup.sae.decode(f)).reshape(x_btd.shape)
    if arm.control == "random direction":
        difference = difference.norm(dim=-1, keepdim=True) * random_direction(24, trial.seed)
    labels = torch.from_numpy(setup.tokens.labels()[setup.model.images].astype(np.int64))
    where = {
        "all": torch.ones_like(labels, dtype=bool),
        "class": labels == trial.target,
        "active": f[:, latent].reshape(labels.shape) > 0,
    }
    return x_btd + difference * where[arm.place][..., None]


def check(setup, arms):
    classes = setup.model.task.classes
    chosen = dict(zip((classes[c] for c in commonest(setup, 2)), liveliest(setup, 2), strict=True))
    among = trials(setup, chosen, seed=3)
    outcomes = list(run_experiment(setup, among, arms))
    assert [(o.target, o.arm, o.strength) for o in outcomes] == [
        (name, arm, strength) for name in chosen for arm in arms for strength in arm.strengths
    ]
    truth_bu, before_bu = setup.truth_bu, predicted_directly(setup, setup.model.x_btd)
    by_name = {classes[trial.target]: trial for trial in among}
    for outcome in outcomes:
        trial, n = by_name[outcome.target], outcome.arm.images
        everything = setup.model.x_btd.clone()
        everything[:, torch.from_numpy(setup.tokens.positions)] = edited_directly(
            setup, trial, outcome.arm, outcome.strength
        )
        changed = predicted_directly(setup, everything) != before_bu
        target = truth_bu == trial.target
        other = (truth_bu != IGNORE) & ~target
        expected = (changed & target, target, changed & other, other)
        for found, mask_bu in zip(outcome.counts, expected, strict=True):
            np.testing.assert_array_equal(found, mask_bu[:n].sum(1))
        assert trial.similar not in chosen.values() and setup.train.density[trial.similar] > 0
    assert sum(outcome.counts.target_changed.sum() for outcome in outcomes) > 0
    return outcomes


def test_counts_of_a_task_on_patches_are_those_of_a_direct_computation(setup):
    arms = [
        Arm(place="all", strengths=STRENGTHS, images=12),
        Arm(place="class", strengths=STRENGTHS, images=12),
        Arm(place="active", strengths=STRENGTHS, images=12),
        Arm(place="all", control="random latent", strengths=STRENGTHS, images=5),
        Arm(place="active", control="random direction", strengths=STRENGTHS, images=5),
        Arm(place="class", edit="ablate", strengths=(1.0,), images=12),
    ]
    outcomes = check(setup, arms)
    # Ablation changes nothing where the latent is silent: "all" and "active" are then the same edit.
    by = {(o.target, o.arm.place, o.strength): o.counts for o in outcomes if o.arm.control is None}
    for target, place, strength in by:
        if place == "all" and strength == 0:
            for everywhere, active in zip(by[target, "all", 0.0], by[target, "active", 0.0], strict=True):
                np.testing.assert_array_equal(everywhere, active)
    assert {len(o.counts.target) for o in outcomes if o.arm.control} == {5}


def test_counts_of_a_task_on_images_are_those_of_a_direct_computation(setup_of_images):
    arms = [Arm(place=place, strengths=(-8.0, 4.0), images=12) for place in ("all", "class", "active")]
    outcomes = check(setup_of_images, arms)
    assert all((o.counts.target + o.counts.other == 1).all() for o in outcomes)  # one unit of each image


def test_counts_of_edited_cls_tokens_are_those_of_a_direct_computation(setup_of_cls):
    arms = [
        Arm(place="all", strengths=(-2.0,), images=12),
        Arm(place="class", control="random direction", strengths=(-2.0,), images=7),
    ]
    check(setup_of_cls, arms)


def test_more_images_than_there_are_is_all_of_them(setup):
    (trial,) = trials(setup, {setup.model.task.classes[commonest(setup, 1)[0]]: liveliest(setup, 1)[0]}, 0)
    (outcome,) = run_experiment(setup, [trial], [Arm(place="all", strengths=(1.0,), images=1000)])
    assert len(outcome.counts.target) == 12


def only(codes, latents):
    """The codes as if all other latents were dead."""
    dense = codes.csr.toarray() * np.isin(np.arange(codes.d_sae), latents)
    return dataclasses.replace(codes, csr=scipy.sparse.csr_array(dense))


def test_a_control_latent_that_is_the_chosen_one_is_left_out(setup):
    """Of one live latent: there is no other to draw."""
    name, (latent,) = setup.model.task.classes[commonest(setup, 1)[0]], liveliest(setup, 1)
    alone = dataclasses.replace(setup, train=only(setup.train, [latent]))
    arms = [
        Arm(place="all", control=control, strengths=(-1.0,), images=2)
        for control in (None, "random latent", "random direction")
    ]
    outcomes = run_experiment(alone, trials(alone, {name: latent}, 0), arms)
    assert [outcome.arm.control for outcome in outcomes] == [None, "random direction"]


def test_a_dead_latent_changes_nothing(setup):
    name = setup.model.task.classes[commonest(setup, 1)[0]]
    silent = dataclasses.replace(setup, train=only(setup.train, []), val=only(setup.val, []))
    arms = [
        Arm(place="all", control=control, strengths=(-9.0,), images=12)
        for control in (None, "random direction")
    ]
    outcomes = list(run_experiment(silent, trials(silent, {name: 3}, 0), arms))
    assert [outcome.arm for outcome in outcomes] == arms
    for outcome in outcomes:
        assert outcome.counts.target_changed.sum() == outcome.counts.other_changed.sum() == 0
        np.testing.assert_array_equal(
            outcome.counts.target, silent.truth_bu.eq(silent.model.task.classes.index(name)).sum(1)
        )


def test_pushing_the_class_weight_itself_flips_its_patches(stores, tiny_vit, task, setup):
    """An edit along the task's own weight, at the last layer, is far more selective than a random one."""
    mean, scale = stores["val"].tokens(2).normalisation()
    sae = SAE(TopK(d_sae=16, k=16), torch.from_numpy(mean), scale).requires_grad_(False)
    # One decoder row per class; large where the task reads that class and not the average class.
    sae.point(torch.nn.functional.normalize(task.weight - task.weight.mean(0), dim=1))
    last = Continuation.from_store(tiny_vit, task, stores["val"], 2, np.arange(12), CPU)
    before = last.predict()
    c = int(torch.bincount(before.flatten()).argmax())
    maximum = sae.encode(all_tokens(stores["val"].tokens(2)).flatten(0, 1)).max(0).values[c]
    silent = torch.zeros(12, 16, 1)
    away = edit_latents(sae, [c], silent, -maximum.expand_as(silent))
    gap = []
    for edit in (away, *(push_along(random_direction(24, seed), away) for seed in range(20))):
        after = last.predict(change_btd=torch.nn.functional.pad(edit.change(), (0, 0, 1, 0)))
        target, other = (after != c)[before == c], (after != before)[before != c]
        gap.append((target.float().mean() - other.float().mean()).item())
    assert gap[0] > 0.3 and gap[0] > np.mean(gap[1:]) + 0.2


def test_on_another_device(stores, tiny_vit, task, setup, elsewhere):
    there = opened(
        stores, copy.deepcopy(tiny_vit), copy.deepcopy(task), images=setup.model.images, machine=elsewhere
    )
    name, latent = setup.model.task.classes[commonest(setup, 1)[0]], liveliest(setup, 1)[0]
    arms = [Arm(place="active", strengths=(-2.0,), images=12)]
    found, expected = (
        next(run_experiment(one, trials(one, {name: latent}, 0), arms)).counts for one in (there, setup)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1)  # rounding may tip a prediction


def test_an_sae_of_mean_patches_has_nothing_to_edit(stores, tiny_vit, task, setup, tmp_path):
    store = make(tiny_vit, tmp_path, Mosaic(split="val", n=2, size=64), tokens=["cls", "patch", "meanpool"])
    model = Continuation.from_store(tiny_vit, task, store, 1, np.arange(2), CPU)
    with pytest.raises(
        SaevError, match=f"^{store.path}: meanpool, which the SAE reads, is no token that an edit"
    ):
        Setup(setup.sae, model, store.tokens(1, ["meanpool"]), setup.train, setup.val)


@pytest.mark.parametrize("chosen", [{"unicorn": 3}, {"cat": 64}, {"cat": -1}])
def test_a_class_or_latent_that_is_not_there_is_one_line(setup, chosen):
    ((name, latent),) = chosen.items()
    line = f"^latent {latent} cannot be edited to move class '{name}': the SAE has latents 0 to 63, "
    with pytest.raises(SaevError, match=line) as error:
        trials(setup, chosen, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"edit": "wish"}, "intervene.arms.edit must be one of set, ablate, scale, add, clamp, got 'wish'"),
        ({"place": "here"}, "intervene.arms.place must be one of all, class, predicted, active, got 'here'"),
        (
            {"control": "nobody"},
            "intervene.arms.control must be one of None, random latent, random direction, got 'nobody'",
        ),
        ({"strengths": []}, r"intervene.arms.strengths must name at least one, got \[\]"),
        ({"strengths": [True]}, "intervene.arms.strengths must be a number, got True"),
        ({"strengths": [float("nan")]}, "intervene.arms.strengths must be a number, got nan"),
        (
            {"strengths": [1e9]},
            "intervene.arms.strengths must be a number >= -1000000.0 and <= 1000000.0, got 1000000000.0",
        ),
        ({"strengths": -1.0}, "intervene.arms.strengths must be a list, each a number, got -1.0"),
        ({"images": 0}, "intervene.arms.images must be an integer in \\[1, 1000000000\\], got 0"),
        ({"images": "many"}, "intervene.arms.images must be an integer in \\[1, 1000000000\\], got 'many'"),
    ],
)
def test_bad_arms_are_named_and_echoed(options, line):
    with pytest.raises(SaevError, match=f"^{line}$"):
        Arm(**{"place": "all", "strengths": [-1.0], "images": 3, **options})


def test_methods_are_called_by_what_is_edited_and_how():
    common = {"place": "all", "strengths": [1], "images": 1}
    assert Arm(**common).strengths == (1,)
    names = [
        Arm(**common, control=c, edit=e).method for c in (None, "random latent") for e in ("set", "clamp")
    ]
    assert names == ["chosen latent", "chosen latent, clamp", "random latent", "random latent, clamp"]
