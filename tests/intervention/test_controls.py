"""Controls: as strong as the edit, and of nothing that is claimed."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.activations import Origin
from saev.features import Codes
from saev.intervention import trials
from saev.intervention.controls import CONTROLS, NEAREST, push_along, random_direction, similar_latents
from saev.intervention.edits import EDITS, edit_latents
from tests.intervention.examples import commonest, liveliest, sae_of

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
def test_a_similar_latent_is_live_near_in_density_and_never_a_chosen_one(times, data, seed):
    s = len(times)
    chosen = data.draw(st.lists(st.integers(0, s - 1), min_size=1, max_size=6))
    codes = codes_that_fire(times)
    similar = similar_latents(chosen, codes, seed)
    assert similar == similar_latents(chosen, codes, seed) and len(similar) == len(chosen)
    free = [latent for latent in range(s) if times[latent] and latent not in chosen]
    for latent, control in zip(chosen, similar, strict=True):
        if not free or not times[latent]:
            assert control == latent
            continue
        assert control in free
        ratios = [abs(np.log(times[other] / times[latent])) for other in free]
        nearer = sum(ratio < abs(np.log(times[control] / times[latent])) - 1e-9 for ratio in ratios)
        assert nearer < NEAREST


def test_similar_latents_are_drawn_by_seed():
    codes = codes_that_fire(range(1, 61))
    drawn = {similar_latents([30], codes, seed)[0] for seed in range(300)}
    # Of 30, which fires on 31 units: the NEAREST others by the ratio of their numbers.
    nearest = sorted((abs(np.log((other + 1) / 31)), other) for other in range(60) if other != 30)
    assert drawn == {other for _, other in nearest[:NEAREST]}


def test_random_directions_are_uniform_on_the_sphere():
    directions = torch.stack([random_direction(6, seed) for seed in range(2000)])
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(2000))
    torch.testing.assert_close(directions.T @ directions / 2000, torch.eye(6) / 6, rtol=0, atol=0.03)
    torch.testing.assert_close(directions.mean(0), torch.zeros(6), rtol=0, atol=0.05)
    assert torch.equal(directions[3], random_direction(6, 3))


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


@pytest.mark.parametrize("name", ["setup", "setup_of_cls"])
def test_controls_of_a_trial(name, request):
    setup = request.getfixturevalue(name)
    names = setup.model.task.classes
    chosen = {names[c]: s for c, s in zip(commonest(setup, 2), liveliest(setup, 2), strict=True)}
    for trial in trials(setup, chosen, seed=5):
        for kind in EDITS:
            edit = trial.edit([trial.latent], kind, -1.5)
            random_latent, pushed = (CONTROLS[control](trial, kind, -1.5) for control in CONTROLS)
            expected = trial.edit([trial.similar], kind, -1.5)
            for found, right in zip(random_latent, expected, strict=True):
                assert torch.equal(found, right)
            torch.testing.assert_close(pushed.length(), edit.length())
            assert torch.equal(pushed.fires_bt, edit.fires_bt)
    directions = [
        CONTROLS["random direction"](trial, "set", 1.0).directions_kd for trial in trials(setup, chosen, 5)
    ]
    assert not torch.equal(*directions)  # each class has its own
