"""What a run gives: the members by name, each as if it had been alone, trained, and knowing what it is of."""

from pathlib import Path

import pytest
import torch
import yaml

from saev.errors import SaevError
from saev.evaluation import measure_reconstruction
from saev.machine import Machine
from saev.sae import SAE, ReLU, TopK
from saev.training import Member, Training
from saev.training.fitting import initialise
from tests.training.members import EVERY, FEW, OPTIONS, same, train

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def tokens(stores):
    return stores["train"].tokens(2)


@pytest.fixture(scope="module")
def everyone(tokens, tmp_path_factory):
    return train(tokens, EVERY, tmp_path_factory.mktemp("everyone"))


@pytest.mark.parametrize("name", EVERY)
def test_a_member_gets_byte_for_byte_what_it_would_get_alone(name, everyone, tokens, tmp_path):
    alone = train(tokens, {name: EVERY[name]}, tmp_path)
    assert same(alone, {name: everyone[name]})


def test_three_members_get_it_in_any_order(everyone, tokens, tmp_path):
    three = [Member(name, EVERY[name]) for name in ("gated", "topk", "batchtopk")]
    found = train(tokens, three, tmp_path)
    assert list(found) == ["gated", "topk", "batchtopk"]
    assert same(found, {name: everyone[name] for name in found})


def test_training_lowers_the_error_and_leaves_unit_decoders(stores, everyone):
    tokens = stores["train"].tokens(2)
    mean, scale = tokens.normalisation()
    untrained = SAE(EVERY["topk"], torch.from_numpy(mean), scale, seed=4)
    pair = {"before": untrained, "after": everyone["topk"].sae}
    measured = measure_reconstruction(pair, stores["val"].tokens(2))
    assert measured["after"][0]["nmse"] < 0.8 * measured["before"][0]["nmse"]
    for name in ("topk", "topk-k0.5", "muon", "jumprelu", "gated"):
        torch.testing.assert_close(everyone[name].sae.W_dec.norm(dim=1), torch.ones(EVERY[name].d_sae))


def test_curves_name_their_member_and_fall(everyone):
    for name, (sae, curve) in everyone.items():
        assert not any(p.requires_grad for p in sae.parameters())
        steps = [0, 20, 29] if name not in ("random", "neurons", "pca", "kmeans", "seminmf") else []
        assert [point["step"] for point in curve] == steps
        assert all(point["sae"] == name for point in curve)
        assert not curve or curve[-1]["mse"] < curve[0]["mse"]


def test_an_sae_knows_what_it_was_trained_on(everyone, tokens):
    assert all(found.sae.origin == tokens.origin for found in everyone.values())


def test_the_first_step_sees_the_streams_first_batch(tokens, tmp_path):
    """The first point of a curve against the formula, on the batch that streams of the seed begin with."""
    from saev.activations import ActivationStream

    (found,) = train(tokens, {"x": EVERY["topk"]}, tmp_path).values()
    mean, scale = tokens.normalisation()
    sae = SAE(EVERY["topk"], torch.from_numpy(mean), scale, seed=4)
    x_nd = next(iter(ActivationStream(tokens, batch_size=64, window=4, seed=4)))
    z_nd = (x_nd.double() - torch.from_numpy(mean)) / scale
    W = sae.W_dec.double()
    top, latents = (z_nd @ W.T).topk(6)
    z_hat = torch.einsum("nk,nkd->nd", top.relu(), W[latents])
    assert found.curve[0]["mse"] == pytest.approx((z_nd - z_hat).square().mean().item(), rel=1e-4)
    assert found.curve[0]["l0"] == pytest.approx((top > 0).sum(1).double().mean().item(), rel=1e-5)


def test_a_loss_that_is_not_finite_names_the_member_and_the_step(tokens, tmp_path):
    options = Training(steps=60, batch_size=64, warmup=0, precision="fp32")
    wild = TopK(d_sae=48, k=6)
    object.__setattr__(wild, "lr", 1e30)  # no option may be so, and what may be is harmless
    with pytest.raises(SaevError, match=r"^training: loss of wild is (nan|inf) at step \d+$"):
        train(tokens, {"good": TopK(d_sae=48, k=6), "wild": wild}, tmp_path, options)


def test_two_members_of_one_name_are_refused(tokens, tmp_path):
    twice = [Member(name, ReLU(d_sae=8)) for name in "aba"]
    with pytest.raises(SaevError, match="training: every member needs a name of its own, got a, b, a"):
        train(tokens, twice, tmp_path)


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, 2**32])
def test_a_bad_seed_is_refused(tokens, tmp_path, seed):
    with pytest.raises(SaevError, match=rf"seed must be an integer in \[0, 4294967295\], got {seed!r}"):
        train(tokens, FEW, tmp_path, seed=seed)


def test_too_few_activations_to_start_from_are_named(tokens, tmp_path):
    with pytest.raises(SaevError, match=r"640 activations are too few to initialise sae\.d_sae=700 latents"):
        train(tokens, {"big": TopK(d_sae=700, k=4, data_init=0.5)}, tmp_path)


@pytest.mark.parametrize("scale", [0.0, float("nan")])
def test_activations_that_are_all_alike_are_named(tokens, tmp_path, monkeypatch, scale):
    mean = tokens.normalisation()[0]
    monkeypatch.setattr(type(tokens), "normalisation", lambda self: (mean, scale))
    with pytest.raises(SaevError, match=rf"train: layer 2 has scale {scale}: its activations are all alike"):
        train(tokens, FEW, tmp_path)


def test_muon_needs_whole_matrices(tokens, tmp_path):
    divided = Machine(accelerator="cpu", devices=1, parallel="latents")
    with pytest.raises(
        SaevError, match=r"^muon: sae\.optimizer must be adam where machine\.parallel is latents"
    ):
        train(tokens, EVERY, tmp_path, machine=divided)


def test_initial_directions_are_data_where_that_is_asked_for(tokens):
    mean, scale = tokens.normalisation()
    sae = SAE(TopK(d_sae=20, k=2, data_init=1.0), torch.from_numpy(mean), scale)
    initialise(sae, tokens, window=4, seed=0)
    z_nd = sae.normalise(torch.from_numpy(tokens.store.acts(2)[:, 1:]).flatten(0, 1).float())
    cosines = sae.W_dec @ torch.nn.functional.normalize(z_nd, dim=1).T
    torch.testing.assert_close(cosines.max(1).values, torch.ones(20))
    torch.testing.assert_close(sae.W_enc, sae.W_dec.T)


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [
        ("steps", 0, r"an integer in \[1, 1000000000\]"),
        ("batch_size", 1.5, r"an integer in \[1, 16777216\]"),
        ("window", 1, r"an integer in \[2, 1000000000\]"),
        ("warmup", 2, "a number >= 0 and <= 1"),
        ("decay", "x", "a number >= 0 and <= 1"),
        ("clip", 0, "a number > 0"),
        ("precision", "fp16", "one of auto, fp32, bf16, int8"),
        ("checkpoint_every", None, r"an integer in \[1, 1000000000\]"),
    ],
)
def test_bad_options_are_named_and_echoed(option, value, right):
    with pytest.raises(SaevError, match=rf"^trainer\.{option} must be {right}, got {value!r}$"):
        Training(**{"steps": 1, option: value})


def test_the_configuration_states_the_defaults():
    default, quick = (
        yaml.safe_load((CONF / f"trainer/{name}.yaml").read_text()) for name in ("default", "quick")
    )
    assert Training(**default) == Training() and set(default) == set(vars(OPTIONS))
    assert {**quick, "steps": None} == default and quick["steps"] < 1000


@pytest.mark.parametrize(
    ("n_vectors", "steps"),
    [
        (5_376, 132),  # 21 images of 256 patches: 50 times
        (100_000, 1_000),
        (358_400, 1_225),  # the embedded study: 7 times
        (250_000_000, 48_829),  # ImageNet at 196 patches: 10^8 vectors
    ],
)
def test_the_amount_of_data_gives_the_steps(n_vectors, steps):
    assert Training().for_vectors(n_vectors).steps == steps
    assert Training(steps=5).for_vectors(n_vectors).steps == 5
    assert Training().for_vectors(n_vectors).repeats(n_vectors) < 51


def test_more_repeats_than_make_sense_are_told(tokens, tmp_path, capsys):
    train(tokens, {"topk": EVERY["topk"]}, tmp_path / "few")
    assert "see every token" not in capsys.readouterr().err
    train(tokens, {"topk": EVERY["topk"]}, tmp_path / "many", options=Training(steps=1000, batch_size=256))
    assert "1,000 steps see every token" in capsys.readouterr().err


def test_what_slurm_forbids_is_one_line(tokens, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "x")
    with pytest.raises(
        SaevError, match=r"^machine: accelerator=cpu, devices=1, .* cannot be had: .*ntasks.*$"
    ):
        train(tokens, FEW, tmp_path)
