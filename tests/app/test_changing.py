"""The laboratory's edit against the experiment's runner, and against decoding and continuing by hand."""

import numpy as np
import pytest
import torch

from saev.app import Change, answer, strongest
from saev.app.changing import CONTROLS, PLACES, controls_of, edits_of
from saev.app.effects import effects
from saev.errors import SaevError
from saev.intervention import Arm, Setup, trials
from saev.intervention.controls import random_direction, similar_latents
from saev.tasks import Continuation
from tests.activations.examples import CPU
from tests.app.examples import bench_of
from tests.app.test_uploads import png
from tests.intervention.examples import codes_of

IMAGE = 3


def liveliest(bench, n):
    return np.argsort(-bench.profile.density_s, kind="stable")[:n].tolist()


@pytest.mark.parametrize("place", ["all", "active"])
@pytest.mark.parametrize("kind", ["set", "ablate", "scale", "add", "clamp"])
@pytest.mark.parametrize("control", [None, *CONTROLS])
def test_an_edit_is_that_of_the_experiment(stores, bench, place, kind, control):
    (latent,), seed, strength = liveliest(bench, 1), 5, -2.0
    images = np.array([IMAGE])
    model = Continuation.from_store(bench.backbone, bench.task, bench.tokens.store, 1, images, CPU)
    train = codes_of(bench.sae, stores["train"].tokens(1))
    setup = Setup(bench.sae, model, bench.tokens, train, bench.val)
    (trial,) = trials(setup, {bench.task.classes[0]: [latent]}, seed)
    arm = Arm(edit=kind, place=place, control=control, strengths=(strength,), images=1)
    expected = model.logits(change_btd=setup.whole(arm.applied(trial, strength).change()))

    change = Change(latents=(latent,), strengths=(strength,), kind=kind, place=place, seed=seed)
    found = answer(bench, bench.subject(str(IMAGE)), change)
    assert tuple(found.similar) == similar_latents([latent], bench.profile.density_s, seed)[0]
    got = found.logits_auc[found.arms.index(control or "edit")]
    torch.testing.assert_close(got, expected[0], rtol=1e-5, atol=1e-5)
    if control != "random latent":  # which may fire nowhere here
        assert not torch.allclose(got, bench.subject(str(IMAGE)).before_uc)


def test_several_features_of_an_upload_are_edited_as_decoding_their_new_codes_does(bench):
    address = bench.uploads.add(png(90, 70))
    patches, strengths = (2, 5, 6), (3.0, -1.5)
    latents = tuple(row["latent"] for row in strongest(bench, bench.subject(address), patches)[:2])
    change = Change(latents=latents, strengths=strengths, place="selected", patches=patches)
    found = answer(bench, bench.subject(address), change)

    backbone, sae = bench.backbone, bench.sae
    with torch.inference_mode():
        pixels = torch.tensor(bench.pixels(address)[None])
        (x_btd,) = backbone.prefix(backbone.preprocess.normalise(pixels), [1])
        f_us = sae.encode(x_btd[0, 1:])
        new_us = f_us.clone()
        for latent, strength in zip(latents, strengths, strict=True):
            new_us[:, latent] = strength * float(bench.profile.maximum_s[latent])
        edited_td = x_btd[0].clone()
        for patch in patches:
            edited_td[1 + patch] += (sae.decode(new_us) - sae.decode(f_us))[patch]
        final_btd = backbone.suffix(edited_td[None], 1)
        expected_uc = final_btd[0, 1:] @ bench.task.weight.T + bench.task.bias
    torch.testing.assert_close(found.logits_auc[0], expected_uc, rtol=1e-4, atol=1e-4)
    assert found.touched_at[0].nonzero().flatten().tolist() == list(patches)


def test_the_random_direction_goes_as_far_as_the_edit_on_each_token(bench):
    change = Change(latents=tuple(liveliest(bench, 3)), strengths=(1, 2, -1), place="active", seed=9)
    made, _ = edits_of(bench, bench.subject("0"), change)
    torch.testing.assert_close(made["random direction"].length(), made["edit"].length())
    assert torch.equal(made["random direction"].directions_kd[0], random_direction(bench.sae.d, 9))


def test_a_feature_is_edited_where_it_fires_itself(bench):
    one, other = liveliest(bench, 2)
    change = Change(latents=(one, other), strengths=(2, 2), place="active")
    made, _ = edits_of(bench, bench.subject("1"), change)
    fires_tk = bench.subject("1").codes[:, [one, other]].toarray() > 0
    assert np.array_equal(made["edit"].amounts_btk[0].numpy() != 0, fires_tk)


def test_controls_differ_from_the_edited_and_from_one_another(bench):
    latents = liveliest(bench, 6)
    similar = controls_of(bench, latents, 1)
    assert len(set(similar) | set(latents)) == 12


def test_the_cls_token_is_edited_where_the_sae_reads_it(stores, tiny_vit, image_task):
    bench = bench_of(stores, tiny_vit, image_task, kinds=("cls", "patch"))
    change = Change(latents=tuple(liveliest(bench, 1)), strengths=(5,), place="cls")
    found = answer(bench, bench.subject("2"), change)
    assert found.touched_at[0].nonzero().flatten().tolist() == [0]
    (told, *_) = effects(bench, bench.subject("2"), found, 0)
    assert told["edited"][1] == 1 and told["beyond"] == (0, 0)


def test_effects_count_what_changed_where(bench):
    subject, patches = bench.subject("4"), (0, 1, 2, 3)
    latent = strongest(bench, subject, patches)[0]["latent"]
    change = Change(latents=(latent,), strengths=(10,), place="selected", patches=patches)
    found = answer(bench, subject, change)
    target = int(np.bincount(subject.truth_u[subject.truth_u < 65535]).argmax())
    told = effects(bench, subject, found, target)
    before, after = subject.before_uc.argmax(-1).numpy(), found.logits_auc.argmax(-1).numpy()
    changed = before != after[0]
    own, known = subject.truth_u == target, subject.truth_u != 65535
    assert told[0]["edited"] == (changed[:4].sum(), 4)
    assert told[0]["beyond"] == (changed[4:].sum(), 12)
    assert told[0]["target"] == (changed[own].sum(), own.sum())
    assert told[0]["other"] == (changed[~own & known].sum(), (~own & known).sum())
    assert [row["arm"] for row in told] == ["edit", *CONTROLS]
    p, q = subject.before_uc.softmax(-1).numpy(), found.logits_auc[0].softmax(-1).numpy()
    assert told[0]["moved_edited"] == pytest.approx(abs(p - q)[:4].sum(1).mean() / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strengths": (float("nan"),)}, "edit.strengths must be a number >= -10 and <= 10, got nan"),
        ({"strengths": (float("inf"),)}, "got inf"),
        ({"strengths": (1e300,)}, "got 1e+300"),
        ({"strengths": (11,)}, "got 11"),
        ({"strengths": ("1",)}, "got '1'"),
        ({"strengths": (1, 2)}, "one of each latent"),
        ({"latents": ()}, "1 to 16"),
        ({"latents": (64,)}, "latent must be in [0, 63]"),
        ({"latents": (-1,)}, "edit.latents must be"),
        ({"kind": "explode"}, "edit.kind must be one of"),
        ({"place": "/etc/passwd"}, "edit.place must be one of"),
        ({"place": "selected"}, "select patches first"),
        ({"place": "cls"}, "no token that the SAE reads"),
        ({"place": "selected", "patches": (16,)}, "below 16"),
        ({"controls": ()}, "edit.controls must name"),
        ({"target": 99}, "edit.target must be below 16"),
    ],
)
def test_what_cannot_be_edited_is_told_in_a_line(bench, wrong, words):
    with pytest.raises(SaevError, match=".") as error:
        change = Change(**{"latents": (0,), "strengths": (1,), **wrong})
        answer(bench, bench.subject("0"), change)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_every_place_has_a_mask_of_the_tokens(bench):
    change = Change(latents=(0,), strengths=(1,), patches=(1,))
    assert {name: int(place(bench, change).sum()) for name, place in PLACES.items()} == {
        "selected": 1,
        "active": 16,
        "all": 16,
        "cls": 0,
    }
