"""Edits against the same change of the image: the whole model by hand, and figures of constructed moves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.data import Mosaic
from saev.data.attributes import ATTRIBUTES, FAMILIES
from saev.errors import SaevError
from saev.intervention.controls import CHOSEN
from saev.intervention.counterfactual import Moved, see_twins
from saev.intervention.directions import Directions
from saev.intervention.reproduction import reproduction, reproductions
from saev.intervention.twin_edits import (
    CALIBRATED,
    FARTHEST,
    TwinEditor,
    TwinOptions,
    against,
    calibration,
    twin_edits,
)
from saev.probing import described
from saev.probing.pairs import first_pairs
from saev.tasks import TaskOptions, train_concepts
from tests.activations.examples import CPU
from tests.intervention.examples import codes_of, sae_of

SCENES = Mosaic(split="val", n=40, size=64)
OPTIONS = {"pairs": 2, "strengths": (-0.5, 0), "draws": 2}
CLASSES = (*ATTRIBUTES, *FAMILIES)


@pytest.fixture(scope="module")
def concept_task(stores, tiny_vit):
    return train_concepts(tiny_vit, stores["train"], 1, TaskOptions(), 0, CPU)


@pytest.fixture(scope="module")
def twins(tiny_vit, concept_task):
    return see_twins(first_pairs(SCENES, 2), tiny_vit, concept_task, 1, CPU)


@pytest.fixture(scope="module")
def train(stores):
    tokens = stores["train"].tokens(1)
    return SimpleNamespace(tokens=tokens, sae=(sae := sae_of(tokens)), codes=codes_of(sae, tokens))


def logits_of(backbone, task, images, change_btd=None):
    """What the task says of the patches, by the model as one: 16 patches after one cls token."""
    pixels = torch.from_numpy(np.stack([backbone.preprocess.crop(image) for image in images]))
    with torch.inference_mode():
        x_btd = backbone.prefix(backbone.preprocess.normalise(pixels), [1])[0]
        if change_btd is not None:
            x_btd = x_btd.clone()
            x_btd[:, 1:] += change_btd
        return (backbone.suffix(x_btd, 1)[:, 1:] @ task.weight.T + task.bias).numpy()


def test_the_image_moves_logits_as_the_whole_model_on_both_scenes_does(tiny_vit, concept_task, twins):
    moved = twins.moved(twins.absent_mtc)
    assert len(twins) >= 10 and np.abs(moved.own_m).max() > 0.1
    for m, of in enumerate(twins.pairs):
        with_it, without = logits_of(
            tiny_vit, concept_task, [of.present.render().image, of.absent.render().image]
        )
        inside, c = twins.inside_mt[m], concept_task.classes.index(of.attribute)
        expected = (without - with_it)[inside].mean(0)
        assert moved.own_m[m] == pytest.approx(expected[c], abs=1e-3)
        others = [abs(expected[other]) for other in range(10) if other != c]
        assert moved.off_m[m] == pytest.approx(np.mean(others), abs=1e-3)
        outside = np.abs(without - with_it)[~inside, c].sum() / max((~inside).sum(), 1)
        assert moved.outside_m[m] == pytest.approx(outside, abs=1e-3)


def test_an_edit_acts_in_the_region_alone_and_as_in_the_whole_model(tiny_vit, concept_task, twins):
    change_mtd = torch.randn(len(twins), 16, 24)
    after = twins.after(change_mtd)
    for m, of in enumerate(twins.pairs):
        inside = torch.from_numpy(twins.inside_mt[m])[:, None]
        expected = logits_of(tiny_vit, concept_task, [of.present.render().image], change_mtd[m] * inside)
        np.testing.assert_allclose(after[m], expected[0], atol=2e-3)


@pytest.fixture(scope="module")
def editor(twins, train, stores):
    directions = Directions((train.codes, described(stores["train"], train.tokens), train.tokens), 0)
    return TwinEditor(train.sae, twins, train.codes, directions)


def lively(train, n=1):
    """n latents of each attribute."""
    order = np.argsort(-train.codes.density)
    return {name: tuple(order[n * i : n * i + n].tolist()) for i, name in enumerate(ATTRIBUTES)}


@pytest.mark.parametrize(("kind", "strength"), [("set", -0.5), ("scale", 3.0)])
def test_a_pair_s_own_latents_are_edited_as_decoding_the_edited_codes_does(
    twins, train, editor, kind, strength
):
    chosen = lively(train, 2)
    change_mtd = editor.edit(chosen, strength, kind).change_mtd
    for x_td, change_td, name in zip(twins.model.x_btd[:, 1:], change_mtd, twins.attribute_m, strict=True):
        f_ts = train.sae.encode(x_td)
        new_ts = f_ts.clone()
        for s in chosen[name]:
            new_ts[:, s] = strength * (f_ts[:, s] if kind == "scale" else float(train.codes.maximum[s]))
        expected = (new_ts - f_ts) @ train.sae.W_dec * train.sae.scale
        torch.testing.assert_close(change_td, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", [False, True])
def test_a_direction_moves_patches_as_far_as_the_edit_it_is_held_against(twins, level):
    like = torch.randn(len(twins), 16, 24)
    towards = {name: torch.nn.functional.normalize(torch.randn(24), dim=0) for name in ATTRIBUTES}
    change = against(towards, twins, like, level=level)
    length = like.norm(dim=-1)
    for m, name in enumerate(twins.attribute_m):
        inside = twins.inside_mt[m]
        far = length[m][inside].mean().expand(16) if level else length[m]
        torch.testing.assert_close(change[m] @ towards[name], -far, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(change[m].norm(dim=-1), far, rtol=1e-4, atol=1e-4)
    still = against(dict.fromkeys(ATTRIBUTES), twins, like)
    assert not still.any()


def test_every_kind_of_edit_has_the_length_that_it_says(twins, train, editor):
    chosen, options = lively(train), TwinOptions(**OPTIONS)
    factors = {name: i / 4 for i, name in enumerate(ATTRIBUTES)}
    made = list(twin_edits(editor, chosen, options, factors))
    methods = [edit.method for edit in made]
    assert methods[:2] == [CHOSEN, CHOSEN] and [edit.strength for edit in made[:2]] == [-0.5, 0.0]
    like = made[0].changes[0].norm(dim=-1)
    assert methods[2] == CALIBRATED
    for m, name in enumerate(twins.attribute_m):
        torch.testing.assert_close(made[2].changes[0][m], factors[name] * made[0].changes[0][m])
    for edit in made[3:]:
        assert edit.strength == -0.5 and len(edit.changes) == (2 if edit.method.startswith("random") else 1)
        for change in edit.changes:
            if edit.method.endswith("level"):
                inside = torch.from_numpy(twins.inside_mt)
                torch.testing.assert_close((change.norm(dim=-1) * inside).sum(1), (like * inside).sum(1))
            elif edit.method != "random latent":
                torch.testing.assert_close(change.norm(dim=-1), like, rtol=1e-4, atol=1e-4)
    assert not torch.equal(made[3].changes[0], made[3].changes[1])
    record = reproductions(twins, made, {"noise", "text"}, seed=0)
    assert [arm["method"] for arm in record["arms"]] == methods
    assert record["arms"][0]["pairs"] == sum(name in ("noise", "text") for name in twins.attribute_m)
    assert {row["name"] for row in record["attributes"]} == set(twins.attribute_m)
    assert all(set(point["edits"]) == set(methods) for point in record["points"])
    with pytest.raises(SaevError, match="must be one of random latent, .*, got 'pca latent'"):
        editor.control("pca latent", editor.edit(chosen, -0.5))


def test_calibration_is_of_sums_over_the_pairs_of_an_attribute(twins, train, editor):
    chosen = lively(train)
    factors = calibration(editor, chosen, -0.5)
    edit = twins.moved(twins.after(editor.edit(chosen, -0.5).change_mtd)).own_m
    image = twins.moved(twins.absent_mtc).own_m
    for name in ATTRIBUTES:
        mine = [m for m, of in enumerate(twins.attribute_m) if of == name]
        ratio = sum(image[m] for m in mine) / sum(edit[m] for m in mine) if mine else 0
        assert factors[name] == pytest.approx(min(max(ratio, 0), FARTHEST))
    assert 0 < max(factors.values()) and min(factors.values()) == 0  # wrong ways too


class Pairs:
    """Pairs of which nothing but what they toggle and where is known."""

    def __init__(self, image, photographs=12):
        n, names = len(image.own_m), list(ATTRIBUTES)
        self.attribute_m = [names[m % 10] for m in range(n)]
        self.photograph_m = [f"p{m % photographs}" for m in range(n)]
        self.absent_mtc, self.moved = None, lambda _: image

    def __len__(self):
        return len(self.attribute_m)


def moves(n, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return Moved(rng.normal(-2, scale, n), rng.exponential(1, n), rng.exponential(1, n))


@pytest.mark.parametrize(("factor", "share", "r", "sign"), [(1, 1, 1, 1), (0.5, 0.5, 1, 1), (-1, -1, -1, 0)])
def test_an_edit_in_proportion_to_the_image(factor, share, r, sign):
    image = moves(60, 0)
    of = reproduction(Pairs(image), [Moved(*(factor * np.asarray(part) for part in image))])
    assert of.share.value == pytest.approx(share) and of.r.value == pytest.approx(r)
    assert of.sign.value == sign and abs(of.off.value) == pytest.approx(of.image_off)
    assert of.share.low == pytest.approx(share) == of.share.high


def test_an_edit_that_does_nothing():
    image = moves(60, 0)
    of = reproduction(Pairs(image), [Moved(*np.zeros((3, 60)))])
    assert (of.share.value, of.r.value, of.sign.value, of.off.value) == (0, None, 0, None)
    nobody = reproduction(Pairs(image), [image], np.zeros(60, bool))
    assert (nobody.pairs, nobody.share.value, nobody.r.value, nobody.image_off) == (0, None, None, None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 60))
def test_figures_are_those_of_numpy(seed, n):
    image, edit = moves(n, seed), moves(n, seed + 1, 3.0)
    e, i = edit.own_m, image.own_m
    of = reproduction(Pairs(image), [edit])
    assert of.share.value == pytest.approx(e.sum() / i.sum())
    assert of.r.value == pytest.approx(np.corrcoef(e, i)[0, 1], abs=1e-6)
    assert of.sign.value == pytest.approx((np.sign(e) == np.sign(i)).mean())
    assert of.off.value == pytest.approx(edit.off_m.sum() / abs(e.sum()))
    assert of.image_off == pytest.approx(image.off_m.sum() / abs(i.sum()))
    assert of.outside.value == pytest.approx(edit.outside_m.sum() / abs(e.sum()))
    assert reproduction(Pairs(image), [edit, edit]).row() == pytest.approx(of.row())


def test_an_edit_of_noise_reproduces_nothing_in_most_draws():
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = Moved(rng.normal(0, 1, 72), rng.exponential(1, 72), rng.exponential(1, 72))
        of = reproduction(Pairs(moves(72, seed)), [noise], seed=seed)
        covered.append(of.share.low <= 0 <= of.share.high)
    assert np.mean(covered) >= 0.95 - 3 * (0.05 * 0.95 / 60) ** 0.5


def test_few_photographs_give_no_interval():
    of = reproduction(Pairs(moves(60, 0), photographs=4), [moves(60, 1)])
    assert of.photographs == 4 and of.share.value is not None and of.share.low is None


@pytest.mark.parametrize("strengths", [(), (-0.5, -0.5), (float("nan"),)])
def test_strengths_that_are_none(strengths):
    with pytest.raises(SaevError, match="counterfactual.strengths"):
        TwinOptions(**{**OPTIONS, "strengths": strengths})
