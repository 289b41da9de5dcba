"""Floors are what they claim: the frozen part does not move, bit by bit, and the rest learns."""

from dataclasses import replace

import pytest
import torch

from saev.errors import SaevError
from saev.sae import PCA, SAE, KMeans, Neurons, RandomDirections, ReLU, TopK
from saev.sae.trained import SOFT
from saev.training import FLOORS, TWINS, floor
from saev.training.fitting import initialise
from tests.training.members import OPTIONS, same, train

OF = TopK(d_sae=48, k=6, prefixes=(8,), lr=2e-2, data_init=0.3)


@pytest.fixture(scope="module")
def tokens(stores):
    return stores["train"].tokens(2)


@pytest.fixture(scope="module")
def trained(tokens, tmp_path_factory):
    """Every twin beside the SAE itself."""
    members = [floor(name, OF, tokens.d, 6, 4) for name in TWINS]
    return train(tokens, [("itself", OF), *members], tmp_path_factory.mktemp("floors"))


@pytest.fixture(scope="module")
def start(tokens):
    """The SAE before its first step."""
    mean, scale = tokens.normalisation()
    sae = SAE(OF, torch.from_numpy(mean), scale, seed=4).requires_grad_(False)
    initialise(sae, tokens, OPTIONS.window, 4)
    return sae


PARTS = ("W_dec", "W_enc_sd", "b_enc", "b_dec")


@pytest.mark.parametrize(
    ("name", "held"), [("frozen-decoder", {"W_dec"}), ("frozen-encoder", {"W_enc_sd", "b_enc"})]
)
def test_what_is_frozen_keeps_its_bits_and_the_rest_learns(name, held, trained, start):
    for part in PARTS:
        before, after = getattr(start, part), getattr(trained[name].sae, part)
        if part in held:
            torch.testing.assert_close(after, before, rtol=0, atol=0)
        else:
            assert not torch.equal(after, before), part
    assert trained[name].curve[-1]["mse"] < trained[name].curve[0]["mse"]


def test_a_softly_frozen_decoder_stays_near_where_it_started(trained, start):
    cosines = (trained["frozen-soft"].sae.W_dec * start.W_dec).sum(1)
    free = (trained["itself"].sae.W_dec * start.W_dec).sum(1)
    assert cosines.min() >= SOFT - 1e-5 and free.min() < SOFT  # which the free one left
    assert (cosines < SOFT + 1e-3).any() and (cosines < 1 - 1e-4).all()
    torch.testing.assert_close(trained["frozen-soft"].sae.W_dec.norm(dim=1), torch.ones(48))


def test_other_seeds_start_elsewhere_and_see_the_same_stream(trained, tokens, tmp_path):
    alone = train(tokens, {"itself": OF}, tmp_path)
    assert same(alone, {"itself": trained["itself"]})  # whoever is beside it
    rows = [trained[name].sae.W_dec for name in ("itself", "seed-1", "seed-2")]
    for i in range(3):
        assert (rows[i] @ rows[(i + 1) % 3].T).amax(1).median() < 0.999


def test_a_softly_frozen_run_that_died_goes_on_to_the_same_bytes(tokens, trained, tmp_path):
    member = floor("frozen-soft", OF, tokens.d, 6, 4)
    with pytest.raises(SaevError):
        broken = replace(OPTIONS, steps=30)
        _die_after(16, lambda: train(tokens, [member], tmp_path, broken))
    assert same(train(tokens, [member], tmp_path), {"frozen-soft": trained["frozen-soft"]})


def _die_after(step, run):
    from saev.training.steps import SAETraining

    training_step = SAETraining.training_step

    def dies(self, x_nd, batch_idx):
        if self.global_step == step:
            raise SaevError("killed")
        return training_step(self, x_nd, batch_idx)

    SAETraining.training_step = dies
    try:
        run()
    finally:
        SAETraining.training_step = training_step


def test_dictionaries_have_as_many_active_latents():
    made = {name: floor(name, ReLU(d_sae=64), 24, 9, 0).architecture for name in FLOORS if name not in TWINS}
    assert made["random"] == RandomDirections(d_sae=64, k=9)
    assert made["neurons"] == Neurons(d_sae=48, k=9) and made["pca"] == PCA(d_sae=48, k=9)
    assert made["kmeans"] == KMeans(d_sae=64, k=9, n_sample=512)
    assert floor("seed-2", OF, 24, 9, 2**32 - 1).seed == 1


def test_a_softly_frozen_decoder_has_unit_rows():
    with pytest.raises(SaevError, match="sae.unit_norm must be true where sae.frozen is soft"):
        TopK(d_sae=8, k=2, unit_norm=False, frozen="soft")
    assert isinstance(SAE(TopK(d_sae=8, k=2, frozen="soft"), torch.zeros(4), 1.0), SAE)
