"""What clusters say of a hypothesis, added up by hand from logits; and a planted effect through the whole."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from saev.data import Mosaic
from saev.errors import SaevError
from saev.hypotheses import Standing, judge
from saev.hypotheses.evidence import of_pairs, of_units
from saev.intervention import Arm, Directions, trials
from saev.intervention.counterfactual import see_twins
from saev.intervention.twin_edits import Chosen, TwinEditor
from saev.probing import described
from saev.probing.pairs import first_pairs
from saev.tasks import TaskOptions, train_concepts
from tests.activations.examples import CPU
from tests.hypotheses.examples import hypothesis
from tests.intervention.examples import codes_of, liveliest, opened, sae_of

SCENES = Mosaic(split="val", n=140, size=64)


@pytest.fixture(scope="module")
def concept_task(stores, tiny_vit):
    return train_concepts(tiny_vit, stores["train"], 1, TaskOptions(), 0, CPU)


@pytest.fixture(scope="module")
def setup(stores, tiny_vit, concept_task):
    return opened(stores, tiny_vit, concept_task)


@pytest.mark.parametrize("independent", ["images", "clusters"])
@pytest.mark.parametrize("measure", ["logit", "changed", "probability"])
def test_recorded_images_add_up_to_what_the_logits_do(stores, setup, measure, independent):
    of = hypothesis(
        concept="overlay", measure=measure, place="all", strength=-4.0, draws=2, independent=independent
    )
    latents = tuple(liveliest(setup, 2))
    found = of_units(of, setup, latents, seed=0)
    c, truth_nu = setup.model.task.classes.index("overlay"), stores["val"].concepts()[..., 9 + 3]
    assert setup.model.task.classes[12] == "overlay"
    (trial,) = trials(setup, {"overlay": latents}, 0)
    before = setup.model.logits()
    where = (
        stores["val"].cluster()
        if independent == "clusters"
        else np.arange(12)[:, None] + np.zeros((12, 16), int)
    )
    names = np.unique(where)
    arms = [Arm(place="all", strengths=(-4.0,), images=12)]
    arms += [Arm(place="all", control="random latent", draws=2, strengths=(-4.0,), images=12)] * 2
    for arm, draw, sums in zip(arms, (0, 0, 1), [found.edit_g2, *found.controls_rg2], strict=True):
        after = setup.model.logits(change_btd=setup.whole(arm.applied(trial, -4.0, draw).change()))
        value = {
            "logit": after[..., c] - before[..., c],
            "changed": ((after[..., c] > 0) != (before[..., c] > 0)).float(),
            "probability": after[..., c].sigmoid() - before[..., c].sigmoid(),
        }[measure].numpy()
        shows = truth_nu == 1
        by_hand = [[value[shows & (where == g)].sum(), (shows & (where == g)).sum()] for g in names]
        assert not sums[len(by_hand) :].any()  # of units of no cluster nothing is known
        np.testing.assert_allclose(sums[: len(by_hand)], by_hand, atol=2e-3)
    assert np.abs(found.edit_g2[:, 0]).sum() > 0 and (found.others_g2[:, 0] >= 0).all()


@pytest.fixture(scope="module")
def editor(stores, tiny_vit, concept_task):
    tokens = stores["train"].tokens(1)
    sae = sae_of(tokens)
    codes = codes_of(sae, tokens)
    twins = see_twins(first_pairs(SCENES, 14, ["stripes"]), tiny_vit, concept_task, 1, CPU)
    return TwinEditor(sae, twins, codes, Directions((codes, described(stores["train"], tokens), tokens), 0))


@pytest.mark.parametrize("independent", ["images", "clusters"])
def test_pairs_add_up_to_the_moves_of_edit_and_image(editor, independent):
    of = hypothesis(concept="stripes", independent=independent, draws=2, edit="scale", strength=3.0)
    latent = int(editor.train.density.argmax())
    found, twins = of_pairs(of, editor, [latent]), editor.twins
    assert set(twins.attribute_m) == {"stripes"} and len(twins) >= 10
    edit = twins.moved(twins.after(editor.edit({"stripes": (latent,)}, 3.0, "scale").change_mtd))
    image = twins.moved(twins.absent_mtc)
    names = np.arange(len(twins)) if independent == "images" else np.array(twins.photograph_m)
    for g, name in enumerate(np.unique(names)):
        mine = names == name
        np.testing.assert_allclose(found.edit_g2[g], [edit.own_m[mine].sum(), image.own_m[mine].sum()])
        np.testing.assert_allclose(
            found.others_g2[g], [edit.off_m[mine].sum(), np.abs(image.own_m[mine]).sum()]
        )
    assert found.controls_rg2.shape == (2, *found.edit_g2.shape)
    assert (found.controls_rg2[..., 1] == found.edit_g2[:, 1]).all()


def test_an_edit_that_is_the_image_s_own_change_is_supported(editor):
    """Planted: the tokens of the scene without stripes, in place of those with them."""
    of, twins = hypothesis(concept="stripes", independent="images", margin=None), editor.twins
    pixels = np.stack(
        [twins.model.backbone.preprocess.crop(pair.absent.render().image) for pair in twins.pairs]
    )
    from saev.tasks import Continuation

    model = twins.model
    without = Continuation.from_pixels(model.backbone, model.task, 1, torch.from_numpy(pixels), CPU)
    planted = SimpleNamespace(
        twins=twins,
        edit=lambda *args: Chosen(*args, (without.x_btd - model.x_btd)[:, 1:]),
        control=lambda *args: [torch.zeros(len(twins), 16, 24)] * 3,
    )
    nothing = SimpleNamespace(
        twins=twins,
        edit=lambda *args: Chosen(*args, torch.zeros(len(twins), 16, 24)),
        control=planted.control,
    )
    standing = Standing("exploratory", "says so", 1)
    evidence = [of_pairs(of, one, [3]) for one in (planted, nothing)]
    yes, no = judge([of, replace(of, name="two", strength=-0.25)], evidence, [standing] * 2)
    assert yes.verdict == "supported" and yes.effect == pytest.approx(1, abs=0.3)
    assert no.verdict == "refuted" and no.effect == pytest.approx(0, abs=1e-6)


def test_an_edit_elsewhere_than_where_the_image_changes_is_one_line(editor):
    with pytest.raises(SaevError, match="^hypothesis.place of stripes must be class, .*, got 'all'$"):
        of_pairs(hypothesis(place="all"), editor, [3])


def test_a_control_that_is_not_to_be_had_is_one_line(setup):
    with pytest.raises(
        SaevError, match="^hypothesis.control of stripes must be one that there is for stripes"
    ):
        of_units(hypothesis(measure="logit", control="pca latent", concept="stripes"), setup, (3,), 0)
