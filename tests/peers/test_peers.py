"""Other SAE libraries and ours on shared weights, in float64. `make peers` runs it in its own environment."""

from functools import partial
from pathlib import Path

import pytest
import torch

from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.objective import objective
from tests.sae.foreign import stir

lib = pytest.importorskip("benchmarks.peer_libraries", reason="make peers")

D, S, N, K = 12, 40, 32, 4
DEAD = torch.arange(S) % 2 == 0


@pytest.fixture
def x():
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def random_sae(architecture, mean=None, scale=1.0) -> SAE:
    generator = torch.Generator().manual_seed(1)
    sae = SAE(architecture, torch.zeros(D) if mean is None else mean, scale, seed=2)
    stir(sae, generator)
    with torch.no_grad():
        if isinstance(architecture, JumpReLU):
            sae.theta.add_(torch.randint(8, (S,), generator=generator) / 64)  # exact in SAELens' float32
    return sae


# Every peer takes our weights and returns its parameters, by our names, and its loss in our units, the mean
# over tokens and dimensions.


def share(sae: SAE, theirs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name, parameter in theirs.items():
        ours = getattr(sae, name).detach()
        parameter.data.copy_(ours if ours.shape == parameter.shape else ours.t())
    return theirs


def without_b_dec(sae: SAE) -> None:
    """For libraries that have none, or do not subtract it from the input."""
    sae.b_dec.data.zero_()


def make_sae_lens(name: str, **config):
    config_class, sae_class = (
        getattr(lib.sae_lens, f"{name}TrainingSAE{suffix}") for suffix in ("Config", "")
    )
    return sae_class(config_class(d_in=D, d_sae=S, **config))


def sae_lens_step(peer, x, coefficients=None, dead=None):
    return peer.training_forward_pass(
        lib.TrainStepInput(
            sae_in=x,
            coefficients=coefficients,
            dead_neuron_mask=dead,
            n_training_steps=0,
            is_logging_step=False,
        )
    )


def sae_lens(name, sae, x, coefficients=None, **config):
    peer = make_sae_lens(name, dtype="float64", **config)
    theirs = {"W_enc": peer.W_enc, "b_enc": peer.b_gate if name == "Gated" else peer.b_enc}
    theirs |= {"theta": peer.threshold} if name == "JumpReLU" else {}
    theirs |= {"r_mag": peer.r_mag, "b_mag": peer.b_mag} if name == "Gated" else {}
    decoder = {"W_dec": peer.W_dec, "b_dec": peer.b_dec}
    share(sae, theirs | decoder)
    # Its gate's reconstruction trains the decoder as well, which in the paper and in ours is held fixed.
    return theirs if name == "Gated" else theirs | decoder, sae_lens_step(peer, x, coefficients).loss / D


def make_trainer(name: str, **config):
    trainer = getattr(lib.dictionary_learning, f"{name}Trainer")(
        steps=9,
        activation_dim=D,
        dict_size=S,
        layer=0,
        lm_name="none",
        device="cpu",
        warmup_steps=0,
        **config,
    )
    trainer.ae.double()
    return trainer


def dictionary_learning(name, sae, x, **config):
    trainer = make_trainer(name, **config)
    peer = trainer.ae
    if name == "JumpRelu":
        without_b_dec(sae)
        theirs = {"W_enc": peer.W_enc, "b_enc": peer.b_enc, "W_dec": peer.W_dec, "theta": peer.threshold}
    else:
        theirs = {"W_enc": peer.encoder.weight, "W_dec": peer.decoder.weight}
    if name == "GatedSAE":
        theirs |= {
            "b_enc": peer.gate_bias,
            "b_dec": peer.decoder_bias,
            "r_mag": peer.r_mag,
            "b_mag": peer.mag_bias,
        }
    elif name != "JumpRelu":
        theirs |= {"b_enc": peer.encoder.bias, "b_dec": peer.bias if name == "Standard" else peer.b_dec}
    return share(sae, theirs), trainer.loss(x, step=0) / D


def sparsify_coder(sae):
    peer = lib.sparsify.SparseCoder(
        D, lib.sparsify.SparseCoderConfig(num_latents=S, k=K), dtype=torch.float64
    )
    theirs = {
        "W_enc": peer.encoder.weight,
        "b_enc": peer.encoder.bias,
        "W_dec": peer.W_dec,
        "b_dec": peer.b_dec,
    }
    return peer, share(sae, theirs)


def sparsify(sae, x):
    peer, theirs = sparsify_coder(sae)
    return theirs, peer(x).fvu * (x - x.mean(0)).square().mean()


def overcomplete(name, sae, x, penalty=0.0, **config):
    without_b_dec(sae)
    peer = getattr(lib.overcomplete, name)(D, S, **config).double()
    linear = peer.encoder.final_block[0]
    theirs = share(sae, {"W_enc": linear.weight, "b_enc": linear.bias, "W_dec": peer.dictionary._weights})
    if name == "JumpSAE":
        peer.thresholds.data.copy_(sae.theta.detach().log())
        theirs["theta"] = peer.thresholds
    pre_codes, codes, x_hat = peer(x)
    return theirs, lib.overcomplete.mse_l1(x, x_hat, pre_codes, codes, peer.get_dictionary(), penalty=penalty)


topk, batch_topk = TopK(d_sae=S, k=K), BatchTopK(d_sae=S, k=K)
no_penalty = JumpReLU(d_sae=S, theta=0.125, bandwidth=0.25, l0=0.0)
AGREE = {
    "TopK, sae-lens": (topk, partial(sae_lens, "TopK", k=K)),
    "TopK, dictionary-learning": (topk, partial(dictionary_learning, "TopK", k=K)),
    "TopK, eai-sparsify": (topk, sparsify),
    "TopK, overcomplete": (topk, partial(overcomplete, "TopKSAE", top_k=K)),
    "BatchTopK, sae-lens": (batch_topk, partial(sae_lens, "BatchTopK", k=K)),
    "BatchTopK, dictionary-learning": (batch_topk, partial(dictionary_learning, "BatchTopK", k=K)),
    "BatchTopK, overcomplete": (batch_topk, partial(overcomplete, "BatchTopKSAE", top_k=K * N)),
    "ReLU, sae-lens": (
        ReLU(d_sae=S, l1=0.3, unit_norm=False),
        partial(sae_lens, "Standard", coefficients={"l1": 0.3}),
    ),
    "ReLU, dictionary-learning": (
        ReLU(d_sae=S, l1=0.3),
        partial(dictionary_learning, "Standard", l1_penalty=0.3, sparsity_warmup_steps=None),
    ),
    "ReLU, overcomplete": (ReLU(d_sae=S, l1=0.3), partial(overcomplete, "SAE", penalty=0.3 / (N * D))),
    "JumpReLU, sae-lens": (
        JumpReLU(d_sae=S, theta=0.125, bandwidth=0.25, l0=0.3),
        partial(sae_lens, "JumpReLU", coefficients={"l0": 0.3}, jumprelu_bandwidth=0.25),
    ),
    # Its penalty aims at a number of active latents, which is another method.
    "JumpReLU, dictionary-learning": (
        no_penalty,
        partial(
            dictionary_learning, "JumpRelu", bandwidth=0.25, sparsity_penalty=0.0, sparsity_warmup_steps=None
        ),
    ),
    "Gated, sae-lens": (
        Gated(d_sae=S, l1=0.3, unit_norm=False),
        partial(sae_lens, "Gated", coefficients={"l1": 0.3}),
    ),
    "Gated, dictionary-learning": (
        Gated(d_sae=S, l1=0.3),
        partial(dictionary_learning, "GatedSAE", l1_penalty=0.3, sparsity_warmup_steps=None),
    ),
}


def assert_gradients_agree(sae, loss, theirs, their_loss):
    ours = torch.autograd.grad(
        loss, [sae.W_enc_sd if name == "W_enc" else getattr(sae, name) for name in theirs]
    )
    for name, a, b in zip(theirs, ours, torch.autograd.grad(their_loss, list(theirs.values())), strict=True):
        assert a.any(), name
        b = b if b.shape == a.shape else b.t()
        torch.testing.assert_close(
            b.double(), a, rtol=1e-5, atol=1e-8, msg=lambda message, name=name: f"{name}: {message}"
        )


# With few active latents ours computes ReLU-like SAEs with sparse products, else with dense ones.
CASES = [(case, shift) for case in AGREE for shift in ((0.0,) if AGREE[case][0].competitive else (0.0, -1.8))]


@pytest.mark.parametrize(("case", "shift"), CASES)
def test_loss_and_gradients_agree(case, shift, x):
    architecture, peer = AGREE[case]
    sae = random_sae(architecture).double()
    sae.b_enc.data += shift
    theirs, their_loss = peer(sae, x)
    loss = objective(sae, x).loss
    torch.testing.assert_close(their_loss, loss, rtol=1e-6, atol=0)
    assert_gradients_agree(sae, loss, theirs, their_loss)


def aux_loss(sae, x):
    """Ours, alone."""
    return (objective(sae, x, dead=DEAD).loss - objective(sae, x).loss) / sae.architecture.aux_weight


def aux_sae():
    """As many dead latents as are chosen have positive pre-activations: SAELens decodes negative ones too."""
    sae = random_sae(TopK(d_sae=S, k=K, aux_k=D // 2, aux_tokens=1.0)).double()
    sae.b_enc.data += 1
    return sae


def test_auxk_gradients_agree_with_dictionary_learning(x):
    sae = aux_sae()
    trainer = make_trainer("TopK", k=K)
    peer = trainer.ae
    theirs = {"W_enc": peer.encoder.weight, "b_enc": peer.encoder.bias, "W_dec": peer.decoder.weight}
    share(sae, theirs | {"b_dec": peer.b_dec})
    trainer.num_tokens_since_fired[DEAD] = 10**9
    codes, _, _, active = peer.encode(x, return_topk=True)
    residual = (x - peer.decode(codes)).detach()
    # It divides by the residual's variance, ours by its mean square.
    units = (residual - residual.mean(0)).square().mean() / residual.square().mean()
    assert_gradients_agree(
        sae, aux_loss(sae, x), theirs, trainer.get_auxiliary_loss(residual, active) * units
    )


def test_auxk_gradients_agree_with_sae_lens(x):
    sae = aux_sae()
    peer = make_sae_lens("TopK", dtype="float64", k=K)
    theirs = {"W_enc": peer.W_enc, "b_enc": peer.b_enc, "W_dec": peer.W_dec}
    share(sae, theirs | {"b_dec": peer.b_dec})
    out = sae_lens_step(peer, x, dead=DEAD)
    units = (x - out.sae_out).detach().square().sum(1).mean()
    assert_gradients_agree(sae, aux_loss(sae, x), theirs, out.losses["auxiliary_reconstruction_loss"] / units)


# Where a library and ours differ and ours is right.


def test_sparsify_auxk_does_not_reach_the_encoder(x):
    """Its fused encoder drops the gradient of the pre-activations."""
    sae = aux_sae()
    peer, theirs = sparsify_coder(sae)
    W_enc, W_dec = torch.autograd.grad(peer(x, dead_mask=DEAD).auxk_loss, [theirs["W_enc"], theirs["W_dec"]])
    assert not W_enc.any() and W_dec.any()
    assert torch.autograd.grad(aux_loss(sae, x), sae.W_enc_sd)[0].any()


def test_sparsify_trains_latents_whose_code_is_0(x):
    """Its fused encoder has no ReLU in its backward pass."""
    sae = random_sae(topk).double()
    sae.b_enc.data -= 100
    theirs, their_loss = sparsify(sae, x)
    assert torch.autograd.grad(their_loss, theirs["b_enc"])[0].any()
    assert not torch.autograd.grad(objective(sae, x).loss, sae.b_enc)[0].any()


def test_dictionary_learning_counts_codes_of_0_as_fired(x):
    """So its AuxK passes over some that are dead."""
    sae = random_sae(topk).double()
    sae.b_enc.data -= 100
    trainer = make_trainer("TopK", k=K)
    trainer.ae.encoder.bias.data -= 100
    trainer.loss(x, step=0)
    assert (trainer.num_tokens_since_fired == 0).any()
    assert not objective(sae, x).fired.any()


def test_overcomplete_threshold_gradient_is_divided_by_the_bandwidth_twice(x):
    """Its kernels are densities already, and its threshold is exp(parameter)."""
    sae = random_sae(no_penalty).double()
    theirs, their_loss = overcomplete("JumpSAE", sae, x, kernel="rectangle", bandwidth=0.25)
    (gradient,) = torch.autograd.grad(their_loss, theirs.pop("theta"), retain_graph=True)
    loss = objective(sae, x).loss
    (ours,) = torch.autograd.grad(loss, sae.theta, retain_graph=True)
    torch.testing.assert_close(gradient * 0.25, ours * sae.theta.detach(), rtol=1e-5, atol=1e-8)
    assert_gradients_agree(sae, loss, theirs, their_loss)


def test_overcomplete_loses_the_batch_topk_threshold_on_save(x):
    peer = lib.overcomplete.BatchTopKSAE(D, S, top_k=K * N)
    peer(x.float())
    assert peer.running_threshold > 0 and not any("threshold" in name for name in peer.state_dict())
    assert "threshold" in random_sae(batch_topk).state_dict()


def test_the_torch_is_that_of_the_committed_results():
    constraints = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    assert f"torch=={lib.VERSIONS['torch'].split('+')[0]}" in constraints
