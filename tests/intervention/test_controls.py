"""Controls: as strong as the edit, and of nothing that is claimed."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.activations import Origin
from saev.features import Codes
from saev.intervention import Rival, trials
from saev.intervention.controls import (
    CONTROLS,
    NEAREST,
    follow,
    from_mean,
    push_along,
    random_direction,
    similar_latents,
)
from saev.intervention.edits import EDITS, Edit, edit_latents
from tests.intervention.examples import all_tokens, commonest, directions_of, liveliest, sae_of

N = 200


def codes_that_fire(times):
    """Latent s fires on the first times[s] of N units."""
    dense = np.arange(N)[:, None] < np.asarray(times)
    csr = scipy.sparse.csr_array(dense.astype(np.float32))
    return Codes(csr, N, Origin("m", "0", "g", 1, ("patch",), "i"), "0123")


@given(
    times=st.lists(st.integers(0, N), min_size=1, max_size=60),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_similar_latents_are_live_near_in_density_and_neither_chosen_nor_drawn_twice(times, data, seed):
    s = len(times)
    chosen, avoid = (
        data.draw(st.lists(st.integers(0, s - 1), min_size=least, max_size=4, unique=True))
        for least in (1, 0)
    )
    codes, draws = codes_that_fire(times), data.draw(st.integers(1, 4))
    sets = similar_latents(chosen, codes.density, seed, draws=draws, avoid=avoid)
    assert sets[:1] == similar_latents(chosen, codes.density, seed, avoid=avoid)  # more draws change none
    free = [latent for latent in range(s) if times[latent] and latent not in (*chosen, *avoid)]
    alive = all(times[latent] for latent in chosen)
    assert len(sets) == (min(draws, len(free) // len(chosen)) if alive else 0)
    for similar in sets:
        for latent, control in zip(chosen, similar, strict=True):
            ratios = [abs(np.log(times[other] / times[latent])) for other in free]
            nearer = sum(ratio < abs(np.log(times[control] / times[latent])) - 1e-9 for ratio in ratios)
            assert nearer < NEAREST
            free.remove(control)


def test_similar_latents_are_drawn_by_seed():
    codes = codes_that_fire(range(1, 61))
    drawn = {similar_latents([30], codes.density, seed)[0] for seed in range(300)}
    # Of 30, which fires on 31 units: the NEAREST others by the ratio of their numbers.
    nearest = sorted((abs(np.log((other + 1) / 31)), other) for other in range(60) if other != 30)
    assert drawn == {(other,) for _, other in nearest[:NEAREST]}


def test_random_directions_are_uniform_on_the_sphere():
    by_seed = torch.stack([random_direction(6, seed) for seed in range(2000)])
    by_draw = torch.stack([random_direction(6, 3, draw) for draw in range(2000)])
    for directions in (by_seed, by_draw):
        torch.testing.assert_close(directions.norm(dim=1), torch.ones(2000))
        torch.testing.assert_close(directions.T @ directions / 2000, torch.eye(6) / 6, rtol=0, atol=0.03)
        torch.testing.assert_close(directions.mean(0), torch.zeros(6), rtol=0, atol=0.05)
    assert torch.equal(by_seed[3], by_draw[0])


def test_a_push_is_as_long_as_the_edit_on_every_token(stores):
    """Also where the decoder's rows are not of unit length, and where the edit does nothing."""
    sae = sae_of(stores["train"].tokens(1))
    f_btk = torch.rand(3, 16, 1) * (torch.rand(3, 16, 1) > 0.5)
    for stretch in (1.0, 2.5):
        sae.W_dec.mul_(stretch)
        edit = edit_latents(sae, [7], f_btk, -f_btk)
        push = push_along(random_direction(24, 1), edit)
        torch.testing.assert_close(push.change().norm(dim=-1), edit.change().norm(dim=-1))
        assert torch.equal(push.fires_bt, edit.fires_bt)
        assert torch.equal(push.amounts_btk != 0, f_btk != 0)
        unit = push.change()[f_btk[..., 0] > 0]
        torch.testing.assert_close(
            unit / unit.norm(dim=-1, keepdim=True), random_direction(24, 1).expand_as(unit)
        )
        torch.testing.assert_close(follow(random_direction(24, 1), edit).change(), -push.change())


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_a_direction_is_followed_with_the_sign_of_the_edit(seed, k):
    generator = torch.Generator().manual_seed(seed)
    amounts_btk = torch.randint(-2, 3, (2, 5, k), generator=generator).float()  # often 0, also in sum
    like = Edit(amounts_btk, torch.randn(k, 6, generator=generator), amounts_btk.any(-1))
    direction_d, x_btd = random_direction(6, seed), torch.randn(2, 5, 6, generator=generator)
    sign_bt = torch.where(amounts_btk.sum(-1) < 0, -1.0, 1.0)
    for found, along in (
        (follow(direction_d, like), direction_d.expand(2, 5, 6)),
        (from_mean(x_btd, torch.ones(6), like), F.normalize(x_btd - 1, dim=-1)),
    ):
        torch.testing.assert_close(found.change(), (sign_bt * like.length())[..., None] * along)
        torch.testing.assert_close(found.length(), like.length())
        assert torch.equal(found.fires_bt, like.fires_bt)


def with_all_controls(setup, stores, names):
    """Directions of the classes, and rivals with a latent for each, whose rows are not of unit length."""
    other = sae_of(setup.tokens, unit_norm=False)
    other.W_dec.mul_(3)
    rivals = {
        floor: Rival(other, {name: 5 * i + j for j, name in enumerate(names)})
        for i, floor in enumerate(
            ("frozen-decoder", "frozen-encoder", "frozen-soft", "pca", "kmeans", "neurons")
        )
    }
    tokens = stores["train"].tokens(1, setup.tokens.kinds)
    return dataclasses.replace(setup, directions=directions_of(tokens, setup.train), rivals=rivals)


@pytest.mark.parametrize("name", ["setup", "setup_of_cls"])
def test_every_control_of_a_trial_is_of_the_length_that_it_claims(name, request, stores):
    setup = request.getfixturevalue(name)
    names = [setup.model.task.classes[c] for c in commonest(setup, 2)]
    setup = with_all_controls(setup, stores, names)
    chosen = dict(zip(names, (liveliest(setup, 1), liveliest(setup, 3)[1:]), strict=True))
    for trial in trials(setup, chosen, seed=5):
        for kind in EDITS:
            edit = trial.edit(trial.latents, kind, -1.5)
            for control, make in CONTROLS.items():
                found = make(trial, kind, -1.5, 0)
                if control == "random latent":
                    sets = similar_latents(trial.latents, setup.train.density, trial.seed, avoid=trial.avoid)
                    for part, right in zip(found, trial.edit(sets[0], kind, -1.5), strict=True):
                        assert torch.equal(part, right)
                    assert not {*sets[0]} & {s for latents in chosen.values() for s in latents}
                else:
                    torch.testing.assert_close(found.length(), edit.length(), rtol=1e-4, atol=1e-4)
                    assert torch.equal(found.fires_bt, edit.fires_bt)


def test_each_class_and_each_draw_has_its_own(setup, stores):
    names = [setup.model.task.classes[c] for c in commonest(setup, 2)]
    setup = with_all_controls(setup, stores, names)
    chosen = dict(zip(names, ([s] for s in liveliest(setup, 2)), strict=True))
    one, two = trials(setup, chosen, 5)
    for control, make in CONTROLS.items():
        if control != "away from the mean":  # which knows no class
            assert not torch.equal(make(one, "set", 1.0, 0).directions_kd, make(two, "set", 1.0, 0)[1])
        again = torch.equal(make(one, "set", 1.0, 0).directions_kd, make(one, "set", 1.0, 1)[1])
        assert again == (control not in ("random latent", "random direction"))
    row = setup.rivals["pca"].sae.W_dec[setup.rivals["pca"].latents[names[1]]]
    lowered = CONTROLS["pca latent"](two, "set", -2.0, 0).change()  # every code falls, and so it is left
    torch.testing.assert_close(F.cosine_similarity(lowered, -row, dim=-1), torch.ones(lowered.shape[:2]))
    x_btd = all_tokens(setup.tokens)[torch.from_numpy(setup.model.images)]
    raised = CONTROLS["away from the mean"](two, "add", 0.5, 0).change()
    cosine = F.cosine_similarity(raised, x_btd - setup.sae.mean, dim=-1)
    torch.testing.assert_close(cosine, torch.ones(lowered.shape[:2]))


def test_controls_that_nobody_gave_are_none(setup):
    name = setup.model.task.classes[commonest(setup, 1)[0]]
    (trial,) = trials(setup, {name: liveliest(setup, 1)}, 0)
    there = {control for control, make in CONTROLS.items() if make(trial, "set", -1.0, 0) is not None}
    assert there == {"random latent", "random direction", "away from the mean"}
