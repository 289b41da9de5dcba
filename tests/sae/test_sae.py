"""The model and its losses against dense formulas and dense float64 autograd."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.errors import SaevError
from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK, load_sae, save_sae
from saev.sae.formats.checkpoint import load_layer
from saev.sae.kernels.selection import pareto_widths, select_batch_topk
from saev.sae.kernels.sparse import owners
from saev.sae.objective import objective

D, S, N = 12, 40, 50


def build(architecture, *, bias=0.0, dtype=torch.float64):
    """An SAE away from its symmetric start, and inputs for it."""
    generator = torch.Generator().manual_seed(3)
    sae = SAE(architecture, torch.randn(D, generator=generator), 1.7).to(dtype)
    with torch.no_grad():
        for parameter in (sae.W_enc, sae.b_enc, sae.b_dec):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(dtype))
        sae.b_enc.add_(bias)
        if not architecture.unit_norm:
            sae.W_dec.mul_(0.5 + torch.rand(S, 1, generator=generator).to(dtype))
        for name in architecture.extra_parameters():
            parameter = sae.get_parameter(name)
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(dtype)).abs_()
    return sae, (3 * torch.randn(N, D, generator=generator)).to(dtype)


def dense(sae, x):
    """(z, pre, f, z_hat) by the formulas of the docstrings in training, everything dense, with their gradients.

    A straight-through estimator is written as value + constant * (theta - theta.detach()).
    """
    a, z = sae.architecture, (x - sae.mean) / sae.scale
    pre = (z - sae.b_dec) @ sae.W_enc + sae.b_enc
    if isinstance(a, TopK):
        f = torch.where(pre >= pre.topk(a.k).values[:, -1:], pre, 0).relu()
    elif isinstance(a, BatchTopK):
        f = torch.where(pre >= pre.flatten().topk(a.k * len(x)).values[-1], pre, 0).relu()
    elif isinstance(a, JumpReLU):
        near = (pre - sae.theta).abs() < a.bandwidth / 2
        through = (-sae.theta / a.bandwidth * near).detach() * (sae.theta - sae.theta.detach())
        f = pre * (pre > sae.theta) + through
    elif isinstance(a, Gated):
        f = (((z - sae.b_dec) @ sae.W_enc) * sae.r_mag.exp() + sae.b_mag).relu() * (pre > 0)
    else:
        f = pre.relu()
    return z, pre, f, f @ sae.W_dec + sae.b_dec


def dense_loss(sae, x, progress, dead):
    """The whole loss and the full dictionary's error."""
    a, (z, pre, f, z_hat) = sae.architecture, dense(sae, x)
    errors = [(z - f[:, :m] @ sae.W_dec[:m] - sae.b_dec).square().sum(1).mean() / D for m in (*a.prefixes, S)]
    loss, lengths = sum(errors) / len(errors), 1 if a.unit_norm else sae.W_dec.square().sum(1).sqrt()
    if isinstance(a, ReLU):
        loss = loss + a.l1 * min(progress / a.l1_warmup, 1) * (f * lengths).sum(1).mean() / D
    if isinstance(a, JumpReLU):
        near = (pre - sae.theta).abs() < a.bandwidth / 2
        steps = (pre > sae.theta) + (near / -a.bandwidth).detach() * (sae.theta - sae.theta.detach())
        loss = loss + a.l0 * min(progress / a.l0_warmup, 1) * steps.sum(1).mean() / D
    if isinstance(a, Gated):
        gate = pre.relu() @ sae.W_dec.detach() + sae.b_dec.detach()
        l1 = a.l1 * min(progress / a.l1_warmup, 1) * (pre.relu() * lengths).sum(1).mean()
        loss = loss + (l1 + (z - gate).square().sum(1).mean()) / D
    if a.aux_k and dead.any():
        e, among = (z - z_hat).detach(), torch.where(dead, pre, -torch.inf)
        kept = torch.where(among >= among.topk(min(a.aux_k, int(dead.sum()))).values[:, -1:], pre, 0).relu()
        loss = loss + a.aux_weight * (e - kept @ sae.W_dec).square().sum() / e.square().sum()
    return loss, errors[-1], f


ARCHITECTURES = [
    (TopK(d_sae=S, k=5), 0.0),
    (TopK(d_sae=S, k=5), -4.0),  # most of the top k are negative and must not act
    (TopK(d_sae=S, k=5, prefixes=(4, 15), aux_k=3), 0.0),
    (BatchTopK(d_sae=S, k=5), 0.0),
    (BatchTopK(d_sae=S, k=3, prefixes=(10,), aux_k=30), 0.0),  # more than are dead
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5), -6.0),  # sparse enough for the sparse path
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, prefixes=(10,)), 0.0),  # dense path
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, prefixes=(10,), aux_k=2), -6.0),
    (JumpReLU(d_sae=S, l0=0.4, l0_warmup=0.5, theta=0.5, bandwidth=0.8), 0.0),
    (JumpReLU(d_sae=S, l0=0.4, l0_warmup=0.5, theta=0.1, bandwidth=0.8, prefixes=(7,), aux_k=4), -6.0),
    (Gated(d_sae=S, l1=0.3, l1_warmup=0.5), 0.0),
    (Gated(d_sae=S, l1=0.3, l1_warmup=0.5, prefixes=(7,), aux_k=4), -6.0),
    (TopK(d_sae=S, k=5, unit_norm=False), 0.0),
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, unit_norm=False), -6.0),
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, unit_norm=False), 0.0),
    (Gated(d_sae=S, l1=0.3, l1_warmup=0.5, unit_norm=False), -6.0),
]


@pytest.mark.parametrize(("architecture", "bias"), ARCHITECTURES)
def test_encode_and_decode_are_the_formulas(architecture, bias):
    sae, x = build(architecture, bias=bias)
    _, _, f, z_hat = dense(sae, x)
    if isinstance(architecture, BatchTopK):  # a threshold that the batch itself would set
        sae.threshold.copy_(f[f > 0].min() - 1e-4)
    torch.testing.assert_close(sae.encode(x), f.float().detach(), check_dtype=False, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sae.double().decode(f), z_hat * sae.scale + sae.mean)
    torch.testing.assert_close(
        sae.float()(x.float()), (z_hat * sae.scale + sae.mean).float(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("architecture", "bias"), ARCHITECTURES)
@pytest.mark.parametrize("progress", [0.25, 1.0])
def test_loss_and_gradients_equal_dense_float64_autograd(architecture, bias, progress):
    sae, x = build(architecture, bias=bias)
    dead = torch.arange(S) % 3 == 0
    got = objective(sae, x, progress, dead=dead)
    gradients = torch.autograd.grad(got.loss, list(sae.parameters()))
    loss, error, f = dense_loss(sae, x, progress, dead)
    expected = torch.autograd.grad(loss, list(sae.parameters()))

    torch.testing.assert_close(got.loss, loss)
    torch.testing.assert_close(got.mse, error)
    assert got.l0.item() == pytest.approx((f > 0).sum(1).double().mean().item())
    assert torch.equal(got.fired, (f > 0).any(0))
    for (name, _), a, b in zip(sae.named_parameters(), gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
        assert bias < -4 or a.abs().sum() > 0


@pytest.mark.parametrize("architecture", [TopK(d_sae=S, k=2, aux_k=4), BatchTopK(d_sae=S, k=2, aux_k=4)])
def test_auxk_trains_the_encoders_of_dead_latents(architecture):
    """sparsify's gave them no gradient (research on peers)."""
    sae, x = build(architecture)
    with torch.no_grad():
        sae.b_enc[::4] -= 50  # these never win
    dead = ~objective(sae, x).fired
    assert dead[::4].all()
    without, with_aux = (
        torch.autograd.grad(objective(sae, x, dead=d).loss, [sae.W_enc_sd, sae.W_dec, sae.b_enc])
        for d in (None, dead)
    )
    for a in without:
        assert a[dead].abs().sum() == 0
    with torch.no_grad():
        sae.b_enc[::4] += 50
    with_aux = torch.autograd.grad(objective(sae, x, dead=dead).loss, [sae.W_enc_sd, sae.b_enc])
    assert with_aux[0][dead].abs().sum() > 0 and with_aux[1][dead].abs().sum() > 0


@given(
    n=st.integers(1, 40),
    s=st.integers(1, 60),
    k=st.integers(1, 60),
    shift=st.floats(-3, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_batch_topk_selects_the_largest_of_the_batch(n, s, k, shift, seed):
    pre = torch.randn(n, s, generator=torch.Generator().manual_seed(seed)) + shift
    k = min(k, s)
    (latents, offsets), smallest = select_batch_topk(pre, k)
    ranked = pre.relu().flatten().sort(descending=True).values
    assert smallest == ranked[k * n - 1]
    chosen = torch.zeros(n, s, dtype=torch.bool)
    chosen[owners(offsets), latents] = True
    assert torch.equal(chosen, (pre >= smallest) & (pre > 0))


def test_batch_topk_of_one_token_is_topk():
    sae, x = build(TopK(d_sae=S, k=5))
    batch, _ = build(BatchTopK(d_sae=S, k=5))
    for token in x[:10].split(1):
        torch.testing.assert_close(
            objective(batch, token).loss, objective(sae, token).loss, rtol=1e-12, atol=0
        )


def test_batch_topk_keeps_a_running_threshold():
    sae, x = build(BatchTopK(d_sae=S, k=5, threshold_rate=0.25), dtype=torch.float32)
    smallest = []
    for batch in x.split(10):
        objective(sae, batch)
        pre = (sae.normalise(batch) - sae.b_dec) @ sae.W_enc + sae.b_enc
        smallest.append(pre.flatten().topk(50).values[-1].item())
    running = smallest[0]
    for value in smallest[1:]:
        running += 0.25 * (value - running)
    assert sae.threshold.item() == pytest.approx(running, rel=1e-5)
    assert 3 < (sae.encode(x) > 0).sum(1).float().mean() < 7  # about k, without looking at the batch


@pytest.mark.parametrize("kind", [TopK, BatchTopK])
def test_k_anneals_from_k_start_to_k(kind):
    a = kind(d_sae=S, k=4, k_start=20, k_anneal=0.5)
    assert [a.k_after(p) for p in (0, 0.125, 0.25, 0.5, 1)] == [20, 16, 12, 4, 4]
    sae, x = build(a)
    sae.b_enc.data += 50  # all are positive, so that every place is taken
    assert [objective(sae, x, progress).l0.item() for progress in (0, 0.25, 1)] == [20, 12, 4]
    assert kind(d_sae=S, k=4).k_after(0) == 4
    for step in range(80):
        objective(sae, x, step / 80)
    # The threshold of BatchTopK has followed k, down to the last step of its fall at least; it is no mean that remembers k_start.
    assert 3.9 < (sae.encode(x) > 0).sum(1).double().mean() < 5.1


def test_directions_start_from_data():
    x = torch.randn(S, D, generator=torch.Generator().manual_seed(1))
    for share in (0.0, 0.8, 1.0):
        a = TopK(d_sae=S, k=4, data_init=share)
        sae, random = (SAE(a, torch.zeros(D), 1.0, seed=5) for _ in range(2))
        a.initialise(sae, x, 0)
        expected = share * x / x.norm(dim=1, keepdim=True) + (1 - share) * random.W_dec
        torch.testing.assert_close(sae.W_dec, expected / expected.norm(dim=1, keepdim=True))
        assert torch.equal(sae.W_enc, sae.W_dec.T) and sae.W_enc.data_ptr() != sae.W_dec.data_ptr()


def test_free_decoder_rows_stay_as_they_are():
    sae, _ = build(TopK(d_sae=S, k=4, unit_norm=False))
    before = sae.W_dec.clone()
    sae.project()
    assert torch.equal(sae.W_dec, before)


def test_random_prefixes_follow_their_distribution():
    widths = [pareto_widths(1000, 3, 0, step) for step in range(2000)]
    assert widths[5] == pareto_widths(1000, 3, 0, 5) != widths[6]
    assert all(len(set(w)) == 4 and list(w) == sorted(w) and 1 <= w[0] and w[-1] == 1000 for w in widths)
    single = np.array([pareto_widths(10_000, 1, 1, step)[0] for step in range(4000)])
    for w in (4, 25, 400):  # P(width >= w) = (w^-0.5 - s^-0.5) / (1 - s^-0.5)
        assert (single >= w).mean() == pytest.approx((w**-0.5 - 0.01) / 0.99, abs=0.025)
    sae, x = build(TopK(d_sae=S, k=5, random_prefixes=2))
    fixed, _ = build(TopK(d_sae=S, k=5, prefixes=sae.architecture.widths(7)[:-1]))
    assert torch.equal(objective(sae, x, step=7).loss, objective(fixed, x).loss)


def test_relu_paths_meet():
    """The same loss and gradients whichever side of the density limit the batch falls on."""
    sae, x = build(ReLU(d_sae=S, l1=0.2), bias=-2.0)
    results = []
    for limit in (0.0, 1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("saev.sae.objective.DENSE_ABOVE", limit)
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
    assert objective(sae, torch.tensor([[5.0, 1, 3, 2], [-5, -1, -3, -2]])).loss.item() == pytest.approx(
        44 / 8
    )


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        # f = (3, 0.5, 0): error 1 from the -1; penalty 0.5 * 3.5.
        (ReLU(d_sae=3, l1=0.5), (1 + 0.5 * 3.5) / 3),
        # Half of the warm-up of the penalty (progress 0.1 of 0.2).
        (ReLU(d_sae=3, l1=1.0), (1 + 0.5 * 3.5) / 3),
        # f = (3, 0, 0): 0.5 is under the threshold; one latent is counted.
        (JumpReLU(d_sae=3, l0=0.4, theta=1.0), (1.25 + 0.4) / 3),
        # The gate, ReLU(pre), reconstructs what ReLU does, and counts once more.
        (Gated(d_sae=3, l1=0.5), (1 + 0.5 * 3.5 + 1) / 3),
        # Prefix 1 reconstructs (3, 0, 0), the whole (3, 0.5, 0).
        (TopK(d_sae=3, k=2, prefixes=(1,)), (1.25 + 1) / 2 / 3),
    ],
)
def test_hand_computed_losses(architecture, expected):
    """Identity weights, one token (3, 0.5, -1)."""
    sae = SAE(architecture, torch.zeros(3), 1.0)
    with torch.no_grad():
        sae.point(torch.eye(3))
    progress = 0.1 if isinstance(architecture, ReLU) and architecture.l1 == 1.0 else 1.0
    assert objective(sae, torch.tensor([[3.0, 0.5, -1.0]]), progress).loss.item() == pytest.approx(expected)


def test_start_is_unit_norm_and_tied_but_not_shared():
    sae = SAE(TopK(d_sae=S, k=4), torch.zeros(D), 1.0, seed=5)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(S))
    assert torch.equal(sae.W_enc, sae.W_dec.T)
    assert sae.W_enc.data_ptr() != sae.W_dec.data_ptr()
    with torch.no_grad():
        sae.W_dec.mul_(3)
    sae.project()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(S))


@pytest.mark.parametrize("architecture", [a for a, _ in ARCHITECTURES[:11:2]])
def test_bf16_encoder_changes_little(architecture):
    sae, x = build(architecture, dtype=torch.float32)
    exact = sae(x)
    sae.precision = "bf16"
    assert (sae(x) - exact).norm() < 0.1 * (exact - sae.mean).norm()


@pytest.mark.parametrize("architecture", [a for a, _ in ARCHITECTURES])
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
    config = json.loads((tmp_path / "sae" / "config.json").read_text())
    for text, message in (
        ("{", "config.json: damaged"),
        ("[]", "config.json: not the config of an SAE"),
        (
            json.dumps({**config, "options": {**config["options"], "novel": 1}}),
            "config.json: not understood by this version.*novel",
        ),
        (
            json.dumps({key: value for key, value in config.items() if key != "d"}),
            "config.json: not understood by this version: 'd'",
        ),
    ):
        (tmp_path / "sae" / "config.json").write_text(text)
        with pytest.raises(SaevError, match=message):
            load_sae(tmp_path / "sae")
    with pytest.raises(SaevError, match="does not say on which layer"):
        (tmp_path / "sae" / "config.json").write_text(json.dumps(config))
        load_layer(tmp_path / "sae")
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
        (
            lambda: TopK(d_sae=8, k=2, prefixes=[2], random_prefixes=1),
            "sae.random_prefixes must be 0 where sae.prefixes are given",
        ),
        (lambda: BatchTopK(d_sae=8, k=9), "got 9"),
        (lambda: JumpReLU(d_sae=8, bandwidth=0), "sae.bandwidth must be a number > 0, got 0"),
        (lambda: Gated(d_sae=8, l1=-2), "sae.l1 must be a number >= 0, got -2"),
        (lambda: TopK(d_sae=8, k=2, aux_k=9), r"sae.aux_k must be an integer in \[0, 8\], got 9"),
        (lambda: TopK(d_sae=8, k=4, k_start=3), r"sae.k_start must be an integer in \[4, 8\], got 3"),
        (lambda: TopK(d_sae=8, k=4, data_init=1.5), "sae.data_init must be a number >= 0 and <= 1, got 1.5"),
        (lambda: TopK(d_sae=8, k=4, optimizer="sgd"), "sae.optimizer must be one of adam, muon, got 'sgd'"),
        (lambda: TopK(d_sae=8, k=4, unit_norm="no"), "sae.unit_norm must be one of True, False, got 'no'"),
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
