"""The model and its losses against dense formulas and dense float64 autograd."""

import numpy as np
import pytest
import torch

from saev.errors import SaevError
from saev.sae import SAE, ReLU, TopK, load_sae, save_sae
from saev.sae.objectives import objective

D, S, N = 12, 40, 50


def build(architecture, *, bias=0.0, dtype=torch.float64):
    """An SAE away from its symmetric start, and inputs for it."""
    generator = torch.Generator().manual_seed(3)
    sae = SAE(architecture, torch.randn(D, generator=generator), 1.7).to(dtype)
    with torch.no_grad():
        for parameter in (sae.W_enc, sae.b_enc, sae.b_dec):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(dtype))
        sae.b_enc.add_(bias)
    return sae, (3 * torch.randn(N, D, generator=generator)).to(dtype)


def dense(sae, x):
    """(z, f, z_hat) by the formulas of the docstring, everything dense."""
    z = (x - sae.mean) / sae.scale
    pre = (z - sae.b_dec) @ sae.W_enc + sae.b_enc
    if isinstance(sae.architecture, TopK):
        kth = pre.topk(sae.architecture.k).values[:, -1:]
        pre = torch.where(pre >= kth, pre, torch.zeros_like(pre))
    f = pre.relu()
    return z, f, f @ sae.W_dec + sae.b_dec


ARCHITECTURES = [
    (TopK(d_sae=S, k=5), 0.0),
    (TopK(d_sae=S, k=5), -4.0),  # most of the top k are negative and must not act
    (TopK(d_sae=S, k=5, prefixes=(4, 15)), 0.0),
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5), -6.0),  # sparse enough for the sparse path
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5), 0.0),  # dense path
]


@pytest.mark.parametrize(("architecture", "bias"), ARCHITECTURES)
def test_encode_and_decode_are_the_formulas(architecture, bias):
    sae, x = build(architecture, bias=bias)
    _, f, z_hat = dense(sae, x)
    torch.testing.assert_close(sae.encode(x), f.float().detach(), check_dtype=False, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sae.double().decode(f), z_hat * sae.scale + sae.mean)
    torch.testing.assert_close(sae.float()(x.float()), (z_hat * sae.scale + sae.mean).float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("architecture", "bias"), ARCHITECTURES)
@pytest.mark.parametrize("progress", [0.25, 1.0])
def test_loss_and_gradients_equal_dense_float64_autograd(architecture, bias, progress):
    sae, x = build(architecture, bias=bias)
    got = objective(sae, x, progress)
    gradients = torch.autograd.grad(got.loss, list(sae.parameters()))

    z, f, _ = dense(sae, x)
    prefixes = (*getattr(architecture, "prefixes", ()), S)
    errors = [(z - f[:, :m] @ sae.W_dec[:m] - sae.b_dec).square().sum(1).mean() / D for m in prefixes]
    loss = sum(errors) / len(errors)
    if isinstance(architecture, ReLU):
        loss = loss + 0.3 * min(progress / 0.5, 1) * f.sum(1).mean() / D
    expected = torch.autograd.grad(loss, list(sae.parameters()))

    torch.testing.assert_close(got.loss, loss)
    torch.testing.assert_close(got.mse, errors[-1])
    assert got.l0.item() == pytest.approx((f > 0).sum(1).double().mean().item())
    for (name, _), a, b in zip(sae.named_parameters(), gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")


def test_relu_paths_meet():
    """The same loss and gradients whichever side of the density limit the batch falls on."""
    sae, x = build(ReLU(d_sae=S, l1=0.2), bias=-2.0)
    results = []
    for limit in (0.0, 1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("saev.sae.objectives.DENSE_ABOVE", limit)
            loss = objective(sae, x).loss
            results.append((loss, *torch.autograd.grad(loss, list(sae.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_hand_computed_topk():
    """Identity weights, k = 2: [5, 1, 3, 2] keeps 5 and 3; an all-negative token keeps nothing."""
    sae = SAE(TopK(d_sae=4, k=2), torch.zeros(4), 1.0)
    with torch.no_grad():
        sae.W_dec.copy_(torch.eye(4))
        sae.W_enc.copy_(torch.eye(4))
    f = sae.encode(torch.tensor([[5.0, 1, 3, 2], [-5, -1, -3, -2]]))
    assert f.tolist() == [[5, 0, 3, 0], [0, 0, 0, 0]]
    # Errors 1 + 4 and 25 + 1 + 9 + 4 over 8 numbers.
    assert objective(sae, torch.tensor([[5.0, 1, 3, 2], [-5, -1, -3, -2]])).loss.item() == pytest.approx(44 / 8)


def test_start_is_unit_norm_and_tied_but_not_shared():
    sae = SAE(TopK(d_sae=S, k=4), torch.zeros(D), 1.0, seed=5)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(S))
    assert torch.equal(sae.W_enc, sae.W_dec.T)
    assert sae.W_enc.data_ptr() != sae.W_dec.data_ptr()
    with torch.no_grad():
        sae.W_dec.mul_(3)
    sae.normalise_decoder()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(S))


@pytest.mark.parametrize("architecture", [a for a, _ in ARCHITECTURES[:4]])
def test_bf16_encoder_changes_little(architecture):
    sae, x = build(architecture, dtype=torch.float32)
    exact = sae(x)
    sae.precision = "bf16"
    assert (sae(x) - exact).norm() < 0.1 * (exact - sae.mean).norm()


@pytest.mark.parametrize("architecture", [a for a, _ in ARCHITECTURES[2:4]])
def test_checkpoint_round_trip(architecture, tmp_path):
    sae, x = build(architecture, bias=-2.0, dtype=torch.float32)
    save_sae(sae, tmp_path / "sae", layer=3)
    save_sae(sae, tmp_path / "again", layer=3)
    loaded = load_sae(tmp_path / "sae")
    assert loaded.architecture == architecture
    assert torch.equal(loaded.encode(x), sae.encode(x)) and torch.equal(loaded(x), sae(x))
    for file in ("sae.safetensors", "config.json"):
        assert (tmp_path / "sae" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_damaged_or_foreign_checkpoints_are_one_line(tmp_path):
    with pytest.raises(SaevError, match="no SAE checkpoint"):
        load_sae(tmp_path)
    save_sae(build(TopK(d_sae=S, k=4))[0].float(), tmp_path / "sae")
    file = tmp_path / "sae" / "sae.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(SaevError, match="does not hold the SAE"):
        load_sae(tmp_path / "sae")
    (tmp_path / "sae" / "config.json").write_text('{"schema": 9}')
    with pytest.raises(SaevError, match="schema 9"):
        load_sae(tmp_path / "sae")


@pytest.mark.parametrize(
    ("build_it", "message"),
    [
        (lambda: TopK(d_sae=8, k=0), r"sae.k must be an integer in \[1, 8\], got 0"),
        (lambda: TopK(d_sae=8, k=9), "got 9"),
        (lambda: TopK(d_sae=8, k="abc"), "got 'abc'"),
        (lambda: TopK(d_sae=8, k=2, prefixes=[4, 3]), r"sae.prefixes must be an integer in \[5, 7\], got 3"),
        (lambda: TopK(d_sae=8, k=2, prefixes=[8]), r"in \[1, 7\], got 8"),
        (lambda: ReLU(d_sae=8, l1=-1), "sae.l1 must be a number >= 0, got -1"),
        (lambda: ReLU(d_sae=8, l1=float("nan")), "got nan"),
        (lambda: ReLU(d_sae=8, l1_warmup=2), "sae.l1_warmup must be a number >= 0 and <= 1, got 2"),
        (lambda: TopK(d_sae=8, k=2, lr=0), "sae.lr must be a number > 0, got 0"),
    ],
)
def test_bad_options_are_named_and_echoed(build_it, message):
    with pytest.raises(SaevError, match=message):
        build_it()


def test_width_mismatch_names_both():
    with pytest.raises(SaevError, match="store: activations have width 7, the SAE was trained on width 12"):
        build(TopK(d_sae=S, k=4))[0].check_width(7, "store")


def test_latent_gradients_sum_tokens_in_a_fixed_order():
    """Two runs give the same bits, which byte-identical training rests on."""
    sae, x = build(TopK(d_sae=S, k=5), dtype=torch.float32)
    first, second = (torch.autograd.grad(objective(sae, x).loss, list(sae.parameters())) for _ in range(2))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(first, second, strict=True))
