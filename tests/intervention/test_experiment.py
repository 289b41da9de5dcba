"""Measures of an experiment against a computation that decodes, continues and compares every image."""

import copy
import dataclasses

import numpy as np
import pytest
import scipy.sparse
import torch

from saev.data import IGNORE, Mosaic
from saev.errors import SaevError
from saev.intervention import Arm, Setup, check_arms, run_experiment, trials
from saev.intervention.controls import push_along, random_direction, similar_latents
from saev.intervention.edits import edit_latents
from saev.intervention.measures import Change, measured
from saev.sae import SAE, TopK
from saev.tasks import Continuation
from tests.activations.examples import CPU, make
from tests.intervention.examples import all_tokens, commonest, liveliest, opened

STRENGTHS = (0.0, -3.0)


def logits_directly(setup, x_btd):
    """What the task says after all tokens of the layer are x_btd."""
    with torch.inference_mode():
        final_btd = setup.model.backbone.suffix(x_btd, setup.tokens.layer)
    task = setup.model.task
    units = final_btd[:, 1:] if task.readout == "patches" else final_btd[:, :1]
    return units @ task.weight.T + task.bias


def counts(outcome):
    """Units of the target that changed, and that there are, and the same of others, by image."""
    return *outcome.sums["target"], *outcome.sums["other"]


def edited_directly(setup, trial, arm, strength, draw):
    """(x - x_hat) + decode(f'), where the arm acts, for every image."""
    x_btd = all_tokens(setup.tokens)[torch.from_numpy(setup.model.images)]
    f = setup.sae.encode(x_btd.flatten(0, 1))
    latents = list(trial.latents)
    if arm.control == "random latent":
        sets = similar_latents(latents, setup.train.density, trial.seed, draws=draw + 1, avoid=trial.avoid)
        latents = list(sets[draw])
    new = f.clone()
    maximum = torch.from_numpy(setup.train.csr.toarray()[:, latents].max(0))
    new[:, latents] = strength * maximum if arm.edit == "set" else 0
    difference = (setup.sae.decode(new) - setup.sae.decode(f)).reshape(x_btd.shape)
    if arm.control == "random direction":
        difference = difference.norm(dim=-1, keepdim=True) * random_direction(24, trial.seed, draw)
    labels = torch.from_numpy(setup.tokens.labels()[setup.model.images].astype(np.int64))
    where = {
        "all": torch.ones_like(labels, dtype=bool),
        "class": labels == trial.target,
        "active": (f[:, latents] > 0).any(1).reshape(labels.shape),
    }
    return x_btd + difference * where[arm.place][..., None]


def check(setup, arms):
    classes = setup.model.task.classes
    latents = [tuple(liveliest(setup, 2 * n)[-n:]) for n in (1, 2)]  # one of one class, two of the other
    chosen = dict(zip((classes[c] for c in commonest(setup, 2)), latents, strict=True))
    among = trials(setup, chosen, seed=3)
    outcomes = list(run_experiment(setup, among, arms))
    assert [(o.target, o.arm, o.strength) for o in outcomes] == [
        (name, arm, strength) for name in chosen for arm in arms for strength in arm.strengths
    ]
    truth_bu, before_nuc = setup.truth_bu, logits_directly(setup, setup.model.x_btd)
    by_name = {classes[trial.target]: trial for trial in among}
    for outcome in outcomes:
        trial, n = by_name[outcome.target], outcome.arm.images
        target = truth_bu == trial.target
        other = (truth_bu != IGNORE) & ~target
        expected, directly, moved = [], [], 0
        for draw in range(outcome.arm.draws):
            everything = setup.model.x_btd.clone()
            everything[:, torch.from_numpy(setup.tokens.positions)] = edited_directly(
                setup, trial, outcome.arm, outcome.strength, draw
            )
            after_nuc = logits_directly(setup, everything)
            masks = (of[:n] for of in (target, other, truth_bu))
            expected.append(measured(Change(before_nuc[:n], after_nuc[:n], trial.target, *masks)))
            changed = after_nuc.argmax(-1) != before_nuc.argmax(-1)
            masks = (changed & target, target, changed & other, other)
            directly.append([mask_bu[:n].sum(1).numpy() for mask_bu in masks])
            moved += changed[:n][truth_bu[:n] != IGNORE].sum()
        np.testing.assert_array_equal(np.stack(counts(outcome)), np.sum(directly, 0))
        for name, sums in outcome.sums.items():
            np.testing.assert_allclose(sums, sum(np.array(of[name]) for of in expected), rtol=1e-3, atol=1e-3)
        assert outcome.moves.units_cc.sum() - outcome.moves.units_cc.diagonal().sum() == moved
        labelled = truth_bu[:n] != IGNORE
        assert outcome.recall.there_c.sum() == labelled.sum() * outcome.arm.draws
    assert sum(outcome.sums["target"].part.sum() for outcome in outcomes) > 0
    return outcomes


def test_counts_of_a_task_on_patches_are_those_of_a_direct_computation(setup):
    arms = [
        Arm(place="all", strengths=STRENGTHS, images=12),
        Arm(place="class", strengths=STRENGTHS, images=12),
        Arm(place="active", strengths=STRENGTHS, images=12),
        Arm(place="all", control="random latent", draws=2, strengths=STRENGTHS, images=5),
        Arm(place="active", control="random direction", draws=3, strengths=STRENGTHS, images=5),
        Arm(place="class", edit="ablate", strengths=(1.0,), images=12),
    ]
    outcomes = check(setup, arms)
    # Ablation changes nothing where the latent is silent: "all" and "active" are then the same edit.
    by = {(o.target, o.arm.place, o.strength): counts(o) for o in outcomes if o.arm.control is None}
    for target, place, strength in by:
        if place == "all" and strength == 0:
            for everywhere, active in zip(by[target, "all", 0.0], by[target, "active", 0.0], strict=True):
                np.testing.assert_array_equal(everywhere, active)
    assert {len(counts(o)[0]) for o in outcomes if o.arm.control} == {5}


def test_counts_of_a_task_on_images_are_those_of_a_direct_computation(setup_of_images):
    arms = [Arm(place=place, strengths=(-8.0, 4.0), images=12) for place in ("all", "class", "active")]
    outcomes = check(setup_of_images, arms)
    assert all(
        (o.sums["target"].whole + o.sums["other"].whole == 1).all() for o in outcomes
    )  # one unit of each image


def test_counts_of_edited_cls_tokens_are_those_of_a_direct_computation(setup_of_cls):
    arms = [
        Arm(place="all", strengths=(-2.0,), images=12),
        Arm(place="class", control="random direction", strengths=(-2.0,), images=7),
    ]
    check(setup_of_cls, arms)


def test_more_images_than_there_are_is_all_of_them(setup):
    (trial,) = trials(setup, {setup.model.task.classes[commonest(setup, 1)[0]]: liveliest(setup, 1)}, 0)
    (outcome,) = run_experiment(setup, [trial], [Arm(place="all", strengths=(1.0,), images=1000)])
    assert len(counts(outcome)[0]) == 12


def only(codes, latents):
    """The codes as if all other latents were dead."""
    dense = codes.csr.toarray() * np.isin(np.arange(codes.d_sae), latents)
    return dataclasses.replace(codes, csr=scipy.sparse.csr_array(dense))


def test_an_arm_without_a_latent_for_control_is_left_out(setup):
    """Of one live latent: there is no other to draw."""
    name, (latent,) = setup.model.task.classes[commonest(setup, 1)[0]], liveliest(setup, 1)
    alone = dataclasses.replace(setup, train=only(setup.train, [latent]))
    arms = [
        Arm(place="all", control=control, strengths=(-1.0,), images=2)
        for control in (None, "random latent", "random direction")
    ]
    outcomes = run_experiment(alone, trials(alone, {name: [latent]}, 0), arms)
    assert [outcome.arm.control for outcome in outcomes] == [None, "random direction"]


def test_a_dead_latent_changes_nothing(setup):
    name = setup.model.task.classes[commonest(setup, 1)[0]]
    silent = dataclasses.replace(setup, train=only(setup.train, []), val=only(setup.val, []))
    arms = [
        Arm(place="all", control=control, strengths=(-9.0,), images=12)
        for control in (None, "random direction")
    ]
    outcomes = list(run_experiment(silent, trials(silent, {name: [3]}, 0), arms))
    assert [outcome.arm for outcome in outcomes] == arms
    for outcome in outcomes:
        assert not any(sums.part.any() for sums in outcome.sums.values())
        np.testing.assert_array_equal(
            outcome.sums["target"].whole, silent.truth_bu.eq(silent.model.task.classes.index(name)).sum(1)
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
        counts(next(run_experiment(one, trials(one, {name: [latent]}, 0), arms))) for one in (there, setup)
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


@pytest.mark.parametrize("chosen", [{"unicorn": [3]}, {"cat": [2, 64]}, {"cat": [-1]}])
def test_a_class_or_latent_that_is_not_there_is_one_line(setup, chosen):
    ((name, (*_, latent)),) = chosen.items()
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
            "intervene.arms.control must be one of None, random latent, random direction, .*, got 'nobody'",
        ),
        ({"selector": "luck"}, "intervene.arms.selector must be one of best f1, best ap, .*, got 'luck'"),
        ({"draws": 2}, "intervene.arms.draws must be 1 for the chosen latent, got 2: nothing is drawn"),
        (
            {"control": "probe direction", "draws": 3},
            "intervene.arms.draws must be 1 for the probe direction, got 3: nothing is drawn",
        ),
        ({"control": "random latent", "draws": 0}, "intervene.arms.draws must be an integer in .*, got 0"),
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


def test_an_edit_that_would_be_counted_twice_is_named():
    common = {"place": "all", "images": 3}
    once = [Arm(**common, strengths=(-1.0,)), Arm(**common, strengths=(0.0,))]
    check_arms([*once, Arm(**common, strengths=(-1.0,), edit="scale")])
    for twice in ([*once, Arm(**common, strengths=(2.0, 0))], [Arm(**common, strengths=(0, 0.0))]):
        with pytest.raises(SaevError, match="^intervene.arms .*, got the chosen latent on all at 0 twice$"):
            check_arms(twice)


def test_methods_are_called_by_what_is_edited_and_how():
    common = {"place": "all", "strengths": [1], "images": 1}
    assert Arm(**common).strengths == (1,)
    names = [
        Arm(**common, control=c, edit=e).method for c in (None, "random latent") for e in ("set", "clamp")
    ]
    assert names == ["chosen latent", "chosen latent, clamp", "random latent", "random latent, clamp"]
    both = Arm(**common, control="random latent", selector="coalition", edit="ablate", draws=4)
    assert both.method == "random latent, coalition, ablate"
