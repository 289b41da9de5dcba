"""Losses and their gradients against dense float64 autograd, the docstring's lines, and numbers by hand."""

import re
from math import ceil
from textwrap import dedent

import pytest
import torch

import saev.sae.objective
from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, Step, TopK
from saev.sae.kernels.scores import Dense
from saev.sae.objective import drawn_tokens, objective
from tests.documented import blocks
from tests.sae.examples import ARCHITECTURES, D, S, build

DEAD = torch.arange(S) % 3 == 0


def dense(sae, x):
    """(z, pre, f, z_hat) in training, by the formulas of the docstrings, all dense, with their gradients.

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


def revived(architecture, dead):
    """How many dead latents learn from a token."""
    return min(architecture.aux_k, ceil(architecture.aux_share * int(dead.sum())))


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
        kept = torch.where(among >= among.topk(revived(a, dead)).values[:, -1:], pre, 0).relu()
        loss = loss + a.aux_weight * (e - kept @ sae.W_dec).square().sum() / e.square().sum()
    return loss, errors[-1], f


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
    got = objective(sae, x, progress, dead=DEAD)
    gradients = torch.autograd.grad(got.loss, list(sae.parameters()))
    loss, error, f = dense_loss(sae, x, progress, DEAD)
    expected = torch.autograd.grad(loss, list(sae.parameters()))

    torch.testing.assert_close(got.loss, loss)
    torch.testing.assert_close(got.mse, error)
    assert got.l0.item() == pytest.approx((f > 0).sum(1).double().mean().item())
    assert torch.equal(got.fired, (f > 0).any(0))
    for (name, _), a, b in zip(sae.named_parameters(), gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
        assert bias < -4 or a.abs().sum() > 0


@pytest.mark.parametrize(("architecture", "bias"), ARCHITECTURES)
def test_the_lines_of_the_docstring_are_the_loss(architecture, bias):
    sae, x = build(architecture, bias=bias)
    pre = (sae.normalise(x) - sae.b_dec) @ sae.W_enc + sae.b_enc
    pairs = architecture.select_training(sae, Dense(pre), 0.25)
    selected = torch.zeros(len(x), S, dtype=torch.bool)
    selected[pairs.tokens, pairs.latents] = True

    def step(pre, f=None):
        return Step(pre, f, slice(None), len(x), 0.25)

    names = {
        name: getattr(sae, name) for name in ("mean", "scale", "b_dec", "W_enc", "b_enc", "W_dec", "d")
    } | {
        "torch": torch,
        "x": x,
        "selected": selected,
        "dead": DEAD,
        "values": lambda pre: architecture.values(sae, pre, slice(None)),
        "penalty": lambda pre, f: architecture.penalty(sae, step(pre, f)),
        "gate": lambda pre: architecture.gate(step(pre)),
        "widths": architecture.widths(0),
        "drawn": drawn_tokens(sae, len(x), 0)[0],
        "aux_k": architecture.aux_k,
        "aux_weight": architecture.aux_weight,
        "k": revived(architecture, DEAD),
    }
    (lines,) = re.findall(r"((?:^    .*\n)+)", saev.sae.objective.__doc__, re.M)
    exec(dedent(lines), names)
    got = objective(sae, x, 0.25, dead=DEAD).loss
    torch.testing.assert_close(got, names["loss"])
    gradients = (torch.autograd.grad(loss, list(sae.parameters())) for loss in (got, names["loss"]))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_auxk_on_some_tokens_is_on_average_that_on_all():
    whole, x = build(TopK(d_sae=S, k=5, aux_k=3, aux_weight=1.0, aux_tokens=1))
    some, _ = build(TopK(d_sae=S, k=5, aux_k=3, aux_weight=1.0, aux_tokens=0.1))
    without = objective(whole, x).loss
    losses = torch.stack([objective(some, x, step=step, dead=DEAD).loss - without for step in range(400)])
    expected = objective(whole, x, dead=DEAD).loss - without
    assert losses.std() > 0.01 * expected  # they are not all of them
    assert abs(losses.mean() - expected) < 4 * losses.std() / 400**0.5
    first = [drawn_tokens(some, len(x), step)[0].tolist() for step in (0, 1, 0)]
    assert first[0] == first[2] != first[1] and len(set(first[0])) == round(0.1 * len(x))


def test_the_architecture_of_the_page_is_its_formula():
    (code,) = (block.text for block in blocks("adding/sae.md") if block.language == "python")
    names = {"__name__": __name__}
    exec(code, names)
    sae, x = build(names["SquareRoot"](d_sae=S, l_half=0.3), bias=-6.0)
    got = objective(sae, x)
    z = (x - sae.mean) / sae.scale
    f = ((z - sae.b_dec) @ sae.W_enc + sae.b_enc).relu()
    penalty = ((f + 0.01).sqrt() - 0.1).sum(1).mean()
    loss = ((z - f @ sae.W_dec - sae.b_dec).square().sum(1).mean() + 0.3 * penalty) / D
    torch.testing.assert_close(got.loss, loss)
    gradients = (torch.autograd.grad(each, list(sae.parameters())) for each in (got.loss, loss))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


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


def test_relu_paths_meet():
    """The same loss and gradients whichever side of the density limit the batch falls on."""
    sae, x = build(ReLU(d_sae=S, l1=0.2), bias=-2.0)
    results = []
    for limit in (0.0, 1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("saev.sae.objective.ALL_PAIRS_ABOVE", limit)
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


def test_latent_gradients_sum_tokens_in_a_fixed_order():
    """Two runs give the same bits, which byte-identical training rests on."""
    sae, x = build(TopK(d_sae=S, k=5), dtype=torch.float32)
    first, second = (torch.autograd.grad(objective(sae, x).loss, list(sae.parameters())) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
