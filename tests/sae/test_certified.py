"""Selection in low precision decides as float64 does, on weights made to mislead it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.errors import SaevError
from saev.sae import SAE, BatchTopK, JumpReLU, ReLU, TopK
from saev.sae.kernels import certified, rough
from saev.sae.kernels.certified import CERTIFIED_FROM, Certified, scores
from saev.sae.kernels.rough import BIAS_INPUTS, PRODUCTS, rough_product
from saev.sae.kernels.scores import Dense
from saev.sae.kernels.selection import select_batch_topk
from saev.sae.objective import objective
from tests.machine.pretend import DEVICE, Factories

N, D, S = 300, 24, 4100
SEEDS, KINDS = st.integers(0, 99), st.sampled_from(list(PRODUCTS))


def plain(generator):
    return torch.randn(N, D, generator=generator), torch.randn(S, D, generator=generator)


def near_duplicates(generator):
    """Forty directions, a hundred times each, that differ in the sixth digit."""
    z, W = plain(generator)
    return z, W[:41].repeat(100, 1) + 1e-6 * W


def ties(generator):
    """Small integers, so that hundreds of scores are equal, exactly."""
    z, W = plain(generator)
    return z.round(), W.round()


def massive_dimensions(generator):
    """Two inputs a thousand times the others, as of a ViT's outlier tokens."""
    z, W = plain(generator)
    z[::3, :2] *= 1000
    return z, W


def all_lengths(generator):
    """Tokens and latents of lengths from 10^-6 to 10^6."""
    z, W = plain(generator)
    return z * torch.logspace(-6, 6, N)[:, None], W * torch.logspace(6, -6, S)[:, None]


def tiny(generator):
    """Squares of these weights are not float32 numbers."""
    z, W = plain(generator)
    return z, W * 1e-25


def all_equal(generator):
    z, W = plain(generator)
    return z, W[:1].expand(S, D).contiguous()


def zeros(generator):
    z, W = plain(generator)
    z[:100] = 0
    return z, W * 0


def one_input(generator):
    """All of a token, and of a latent, in one number."""
    z, W = plain(generator)
    places = torch.arange(S) % D
    return z * (torch.arange(D) == torch.arange(N)[:, None] % D), W * (torch.arange(D) == places[:, None])


MISLEADING = [
    plain, near_duplicates, ties, massive_dimensions, all_lengths, tiny, all_equal, zeros, one_input,
]  # fmt: skip


def example(make, seed, bias):
    generator = torch.Generator().manual_seed(seed)
    z, W = make(generator)
    return z, W, bias * W.norm(dim=1).mean() * torch.randn(S, generator=generator)


def uncertainty(z, W, b):
    """(n, 1) what the order of summation may change in a float32 score."""
    return 4 * D * 2**-24 * (z.abs() @ W.abs().amax(0) + b.abs().amax()).double()[:, None]


@pytest.mark.parametrize("make", MISLEADING)
@given(
    seed=st.integers(0, 99), kind=st.sampled_from(list(PRODUCTS)), k=st.integers(1, 32), bias=st.floats(0, 9)
)
@settings(max_examples=6, deadline=None)
def test_the_largest_are_those_of_float64(make, seed, kind, k, bias):
    z, W, b = example(make, seed, bias)
    exact = z.double() @ W.double().T + b.double()
    latents, values = Certified(z, W, b, kind).largest(k)
    assert all(len(set(row)) == k for row in latents.tolist())
    slack = uncertainty(z, W, b)
    assert ((exact.gather(1, latents) - values).abs() <= slack).all()
    taken = torch.zeros_like(exact, dtype=torch.bool).scatter(1, latents, True)
    left_out = exact.masked_fill(taken, -torch.inf).amax(1, keepdim=True)
    assert (exact.gather(1, latents).amin(1, keepdim=True) >= left_out - 2 * slack).all()


@pytest.mark.parametrize("make", MISLEADING)
@given(
    seed=st.integers(0, 99), kind=st.sampled_from(list(PRODUCTS)), bias=st.floats(0, 9), each=st.booleans()
)
@settings(max_examples=6, deadline=None)
def test_all_above_a_threshold_are_those_of_float64(make, seed, kind, bias, each):
    z, W, b = example(make, seed, bias)
    exact = z.double() @ W.double().T + b.double()
    threshold = exact.flatten().kthvalue(int(0.99 * exact.numel())).values.float()
    if each:
        threshold = threshold * torch.rand(S, generator=torch.Generator().manual_seed(seed))
    pairs = Certified(z, W, b, kind).above(threshold)
    found = torch.zeros_like(exact, dtype=torch.bool)
    found[pairs.tokens, pairs.latents] = True
    assert found.sum() == len(pairs.latents) == pairs.offsets[-1]
    slack = uncertainty(z, W, b)
    assert not (found & (exact < threshold - slack)).any()
    assert not (~found & (exact > threshold + slack)).any()
    assert ((exact[pairs.tokens, pairs.latents] - pairs.pre).abs() <= slack[pairs.tokens, 0]).all()


@pytest.mark.parametrize("make", MISLEADING)
@pytest.mark.parametrize("kind", PRODUCTS)
def test_the_bounds_hold(make, kind):
    z, W, b = example(make, 0, 1.0)
    exact = z.double() @ W.double().T + b.double()
    product = PRODUCTS[kind](z, W, b)
    slack = uncertainty(z, W, b)
    for rows, rough_cs in product.chunks():
        ends = rough.Bounds(*(part[rows, None] if torch.is_tensor(part) else part for part in product.bounds))
        assert (exact[rows] <= ends.highest(rough_cs.float()).double() + slack[rows]).all()
        nothing = rough_cs <= ends.lowest_above_0()
        assert (exact[rows][nothing] <= slack[rows].expand(-1, S)[nothing]).all()


def test_a_uniform_dither_makes_errors_of_the_promised_size():
    # The theorem is about the draw of the dither: over many draws an error has mean 0 and the promised
    # variance, whatever the numbers are.
    generator = torch.Generator().manual_seed(0)
    z, W, b = torch.randn(4, D, generator=generator), torch.randn(8, D, generator=generator), torch.randn(8)
    errors, sigmas = [], []
    with pytest.MonkeyPatch.context() as patched:
        dither = rough._dither
        for seed in range(400):
            patched.setattr(rough, "_dither", lambda n, seed=seed: dither(n, seed))
            product = PRODUCTS["int8"](z, W, b)
            ((_, p),) = product.chunks()
            unit, shift, error, _ = product.bounds
            errors.append(z @ W.T + b - (p * unit[:, None] + shift[:, None]))
            sigmas.append(error / rough.DEVIATIONS)  # and hardly more
    errors, sigma = torch.stack(errors), torch.stack(sigmas).mean(0)[:, None]
    assert errors.mean(0).abs().max() < 0.3 * sigma.min()  # unbiased: 400 draws leave a twentieth
    assert (errors.std(0) < 1.1 * sigma).all() and (errors.std(0) > 0.4 * sigma).all()
    assert (errors.abs() < 6 * sigma).all()


@pytest.mark.parametrize("d", [1, 224, 1200])
def test_the_constants_are_carried_exactly(d):
    # Weights of the signs of the dither make u Q_s as large as it can be: several inputs of 127.
    u, v = torch.rand(2, d + BIAS_INPUTS, generator=torch.Generator().manual_seed(0)) - 0.5
    W = torch.stack([u[:d].sign(), -u[:d].sign(), torch.ones(d)])
    Q, c, _ = rough._rounded_latents(W, torch.zeros(3), u, v)
    of_inputs, constants = Q[: len(u)].T.double(), Q[len(u) :].T.double()
    carried = constants[:, :-1].sum(1) * 127 + constants[:, -1]
    assert (carried + of_inputs @ u.double()).abs().max() <= 0.5 + 1e-2
    assert c.item() == pytest.approx(1 / rough.LEVELS)


def test_what_is_not_a_number_stays_so():
    z, W, b = example(plain, 0, 1.0)
    z[3, 0], z[7, 1] = torch.nan, torch.inf
    expected, found = (
        chosen.largest(8)[1].sort(1).values for chosen in (Dense(z @ W.T + b), Certified(z, W, b, "int8"))
    )
    assert torch.isnan(found[3]).all() and torch.equal(found[7], expected[7])
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_training_is_that_of_float32(monkeypatch):
    monkeypatch.setattr(certified, "CERTIFIED_FROM", S)
    x = torch.randn(200, D, generator=torch.Generator().manual_seed(0))
    for architecture in (
        TopK(d_sae=S, k=5, aux_k=40),
        BatchTopK(d_sae=S, k=5, prefixes=(500,)),
        ReLU(d_sae=S),
        JumpReLU(d_sae=S, theta=2.5, bandwidth=0.5),
    ):
        losses = []
        for precision in ("fp32", "int8", "bf16"):
            sae = SAE(architecture, torch.zeros(D), 1.0, precision=precision)
            with torch.no_grad():
                sae.b_enc -= 1.0
            loss = objective(sae, x, dead=torch.arange(S) % 2 == 0).loss
            losses.append((loss, *torch.autograd.grad(loss, list(sae.parameters()))))
        for other in losses[1:]:
            for a, b in zip(losses[0], other, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_batch_topk_ranks_the_exact_scores():
    z, W, b = example(near_duplicates, 1, 1.0)
    dense = select_batch_topk(Dense(z @ W.T + b), 20)
    rough_pairs = select_batch_topk(Certified(z, W, b, "int8"), 20)
    assert abs(len(dense.latents) - len(rough_pairs.latents)) <= 2
    assert rough_pairs.pre.min().item() == pytest.approx(dense.pre.min().item(), rel=1e-5)


def decided_there(device):
    """What a device finds, and what the CPU does in float32."""
    z, W, b = example(plain, 0, 1.0)
    there, here = Certified(z.to(device), W.to(device), b.to(device), "bf16"), Dense(z @ W.T + b)
    return [
        (*(found.cpu() for found in (values, pairs.tokens, pairs.latents, pairs.pre)), scores.n)
        for scores in (there, here)
        for values, pairs in [(scores.largest(8)[1].sort(1).values, scores.above(here.sample().max() / 2))]
    ]


def test_a_device_decides_as_the_cpu():
    with Factories():
        for found, expected in zip(*decided_there(DEVICE), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_a_gpu_decides_as_the_cpu():
    for found, expected in zip(*decided_there("cuda"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_small_dictionaries_and_other_types_are_not_worth_a_proof():
    z, W, b = example(plain, 0, 1.0)
    W, b = W.repeat(2, 1), b.repeat(2)  # a little more than enough
    small = CERTIFIED_FROM - 1
    assert isinstance(scores(z, W[:small], b[:small], "int8"), Dense)
    assert isinstance(scores(z.double(), W.double(), b.double(), "int8"), Dense)
    assert isinstance(scores(z, W, b, None), Dense)
    nothing = scores(z[:0], W, b, "int8")
    assert nothing.above(0.0).offsets.tolist() == [0] and nothing.largest(3)[0].shape == (0, 3)
    whole = scores(z, W, b, "int8")
    assert isinstance(whole, Certified) and whole.part(slice(0, 5), slice(None)).n == 5
    torch.testing.assert_close(whole.dense(), z @ W.T + b)


def test_precision_is_what_the_rough_product_runs_in(monkeypatch):
    assert [rough_product(p, "cpu") for p in ("fp32", "bf16", "int8")] == [None, "bf16", "int8"]
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda native=native: native)
        assert rough_product("auto", "cpu") == ("int8" if native else None)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        assert rough_product("auto", "cuda") == ("bf16" if native else None)
    with pytest.raises(SaevError, match="^precision int8 is for the CPU, not for cuda"):
        rough_product("int8", "cuda")
    with pytest.raises(SaevError, match="^precision must be one of auto, fp32, bf16, int8, got 'half'"):
        rough_product("half", "cpu")
