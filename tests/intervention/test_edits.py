"""Each kind of edit against decoding the whole edited code."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.intervention.edits import EDITS, edit_latents
from saev.intervention.trial import Trial
from saev.sae import SAE, TopK
from tests.intervention.examples import all_tokens, liveliest

D, S, B, T = 12, 20, 2, 5

# What the code of one latent becomes, from f, the strength, and the latent's largest training code.
EXPECTED = {
    "set": lambda f, strength, maximum: strength * maximum,
    "ablate": lambda f, strength, maximum: 0.0,
    "scale": lambda f, strength, maximum: strength * f,
    "add": lambda f, strength, maximum: f + strength * maximum,
    "clamp": lambda f, strength, maximum: min(f, strength * maximum),
}


def some_sae(unit_norm=True):
    generator = torch.Generator().manual_seed(4)
    architecture = TopK(d_sae=S, k=5, unit_norm=unit_norm)
    sae = SAE(architecture, torch.randn(D, generator=generator), 1.7).requires_grad_(False)
    sae.b_dec.normal_(generator=generator)
    if not unit_norm:
        sae.W_dec.mul_(0.5 + 2 * torch.rand(S, 1, generator=generator))
    return sae


def edited_densely(sae, x_btd, latents, kind, strength, maximum_k):
    """(x - x_hat) + decode(f')."""
    f = sae.encode(x_btd.flatten(0, 1))
    new = f.clone()
    for latent, maximum in zip(latents, maximum_k, strict=True):
        for n in range(len(f)):
            new[n, latent] = EXPECTED[kind](float(f[n, latent]), strength, float(maximum))
    edited = (x_btd.flatten(0, 1) - sae.decode(f)) + sae.decode(new)
    return edited.reshape(x_btd.shape), f.reshape(*x_btd.shape[:2], -1)


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("unit_norm", [True, False])
@given(
    latents=st.lists(st.integers(0, S - 1), min_size=1, max_size=4, unique=True),
    strength=st.floats(-3, 3, width=32),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=10, deadline=None)
def test_an_edit_is_the_decoded_change_of_the_code(kind, unit_norm, latents, strength, seed):
    """The residual x - x_hat passes through, and several latents add up."""
    sae, generator = some_sae(unit_norm), torch.Generator().manual_seed(seed)
    x_btd = 3 * torch.randn(B, T, D, generator=generator)
    maximum_k = 5 * torch.rand(len(latents), generator=generator)
    expected, f_bts = edited_densely(sae, x_btd, latents, kind, strength, maximum_k)
    f_btk = f_bts[..., latents]
    edit = edit_latents(sae, latents, f_btk, EDITS[kind](f_btk, strength, maximum_k))
    torch.testing.assert_close(x_btd + edit.change(), expected, rtol=1e-4, atol=1e-4)
    each = [
        edit_latents(sae, [latent], f_btk[..., [k]], EDITS[kind](f_btk[..., [k]], strength, maximum_k[[k]]))
        for k, latent in enumerate(latents)
    ]
    torch.testing.assert_close(edit.change(), sum(one.change() for one in each), rtol=1e-4, atol=1e-4)
    assert torch.equal(edit.fires_bt, (f_btk > 0).any(-1))


def test_every_kind_is_tested():
    assert set(EDITS) == set(EXPECTED)


def test_where_an_edit_acts_and_how_long_it_is():
    sae = some_sae(unit_norm=False)
    f_btk = torch.rand(B, T, 2) * torch.tensor([0.0, 1.0])
    edit = edit_latents(sae, [3, 9], f_btk, f_btk - 2)
    change_btd = edit.change()
    torch.testing.assert_close(edit.length(), change_btd.norm(dim=-1))
    mask_bt = torch.rand(B, T) > 0.5
    assert torch.equal(edit.where(mask_bt).change(), change_btd * mask_bt[..., None])
    assert torch.equal(edit.change(torch.tensor([1])), change_btd[[1]])
    assert edit.change(torch.tensor([], dtype=torch.long)).shape == (0, T, D)


@pytest.mark.parametrize("name", ["setup", "setup_of_images", "setup_of_cls"])
def test_a_trials_edit_is_of_the_codes_of_its_images(name, request):
    """With the largest training code as the unit, on real tokens in the order of the model's images."""
    setup = request.getfixturevalue(name)
    latents = liveliest(setup, 2)
    trial = Trial(setup, target=0, latents=tuple(latents), seed=0)
    x_btd = all_tokens(setup.tokens)[torch.from_numpy(setup.model.images)]
    maximum_k = [setup.train.csr.toarray()[:, latent].max() for latent in latents]
    for kind, strength in (("set", -2.0), ("ablate", 1.0), ("add", 0.5), ("clamp", 0.25), ("scale", 3.0)):
        expected, _ = edited_densely(setup.sae, x_btd, latents, kind, strength, maximum_k)
        change_btd = trial.edit(trial.latents, kind, strength).change()
        torch.testing.assert_close(x_btd + change_btd, expected, rtol=1e-4, atol=1e-3)
        whole = setup.whole(change_btd)
        assert whole.shape == setup.model.x_btd.shape
        first = 1 if setup.tokens.kinds == ("patch",) else 0
        torch.testing.assert_close(whole[:, first : first + change_btd.shape[1]], change_btd)
        assert whole.count_nonzero() == change_btd.count_nonzero()
