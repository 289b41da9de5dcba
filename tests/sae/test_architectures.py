"""What single architectures do beside their losses: thresholds, schedules, starts, checks of options."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.errors import SaevError
from saev.sae import PCA, SAE, BatchTopK, Gated, JumpReLU, KMeans, RandomDirections, ReLU, SemiNMF, TopK
from saev.sae.kernels.scores import Dense
from saev.sae.kernels.selection import select_batch_topk
from saev.sae.objective import objective
from saev.sae.trained import pareto_widths
from tests.sae.examples import D, S, build


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
    pairs = select_batch_topk(Dense(pre), k)
    chosen = torch.zeros(n, s, dtype=torch.bool)
    chosen[pairs.tokens, pairs.latents] = True
    smallest = pre.relu().flatten().sort(descending=True).values[k * n - 1]
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


def test_selecting_moves_nothing_and_free_places_bring_the_threshold_to_0():
    sae, x = build(BatchTopK(d_sae=S, k=5, threshold_rate=1.0), bias=-4.0, dtype=torch.float32)
    sae.threshold.fill_(0.25)
    pre = (sae.normalise(x) - sae.b_dec) @ sae.W_enc + sae.b_enc
    pairs = sae.architecture.select_training(sae, Dense(pre), 1.0)
    assert sae.threshold.item() == 0.25
    assert 0 < len(pairs.latents) == (pre > 0).sum() < 5 * len(x)
    objective(sae, x)
    assert sae.threshold.item() == 0
    sae.threshold.fill_(0.25)
    with torch.no_grad():
        sae.b_enc -= 100  # no code at all
    objective(sae, x)
    assert sae.threshold.item() == 0


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
    # The threshold of BatchTopK has followed k, down to the last step of its fall at least: no mean that
    # remembers k_start.
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


@pytest.mark.parametrize(
    ("build_it", "message"),
    [
        (lambda: TopK(d_sae=8, k=0), r"sae.k must be an integer in \[1, 8\], got 0"),
        (lambda: TopK(d_sae=8, k=9), "got 9"),
        (lambda: TopK(d_sae=8, k="abc"), "got 'abc'"),
        (lambda: TopK(d_sae=8, k=2, prefixes=[4, 3]), r"sae.prefixes must be an integer in \[5, 7\], got 3"),
        (lambda: TopK(d_sae=8, k=2, prefixes=[8]), r"in \[1, 7\], got 8"),
        (lambda: ReLU(d_sae=8, l1=-1), "sae.l1 must be a number >= 0 and <= 1000000.0, got -1"),
        (lambda: ReLU(d_sae=8, l1=float("nan")), "got nan"),
        (lambda: ReLU(d_sae=8, l1_warmup=2), "sae.l1_warmup must be a number >= 0 and <= 1, got 2"),
        (
            lambda: TopK(d_sae=8, k=2, prefixes=[2], random_prefixes=1),
            "sae.random_prefixes must be 0 where sae.prefixes are given",
        ),
        (lambda: BatchTopK(d_sae=8, k=9), "got 9"),
        (
            lambda: JumpReLU(d_sae=8, bandwidth=0),
            "sae.bandwidth must be a number > 0 and <= 1000000.0, got 0",
        ),
        (lambda: Gated(d_sae=8, l1=-2), "sae.l1 must be a number >= 0 and <= 1000000.0, got -2"),
        (lambda: TopK(d_sae=8, k=2, aux_k=9), r"sae.aux_k must be an integer in \[0, 8\], got 9"),
        (lambda: TopK(d_sae=8, k=4, k_start=3), r"sae.k_start must be an integer in \[4, 8\], got 3"),
        (lambda: TopK(d_sae=8, k=4, data_init=1.5), "sae.data_init must be a number >= 0 and <= 1, got 1.5"),
        (lambda: TopK(d_sae=8, k=4, optimizer="sgd"), "sae.optimizer must be one of adam, muon, got 'sgd'"),
        (lambda: TopK(d_sae=8, k=4, unit_norm="no"), "sae.unit_norm must be one of True, False, got 'no'"),
        (lambda: TopK(d_sae=8, k=2, lr=0), "sae.lr must be a number > 0 and <= 1, got 0"),
        (lambda: TopK(d_sae=0), "sae.d_sae must be an integer in \\[1, 1000000000\\], got 0"),
        (lambda: TopK(d_sae=8, k=2, prefixes=3), "sae.prefixes must be a list, each an integer, got 3"),
        (
            lambda: TopK(d_sae=8, k=2, random_prefixes=5),
            r"sae.random_prefixes must be an integer in \[0, 4\], got 5",
        ),
        (
            lambda: BatchTopK(d_sae=8, k=2, threshold_rate=0),
            "sae.threshold_rate must be a number > 0 and <= 1, got 0",
        ),
        (lambda: RandomDirections(d_sae=8), r"sae.k must be an integer in \[1, 8\], got 32"),
        (lambda: KMeans(d_sae=50, n_sample=20), "sae.n_sample must be an integer >= 50, got 20"),
        (lambda: PCA(d_sae=50, n_sample=0), "sae.n_sample must be an integer >= 1, got 0"),
        (lambda: SemiNMF(d_sae=8, rounds=0), "sae.rounds must be an integer in \\[1, 1000000\\], got 0"),
    ],
)
def test_bad_options_are_named_and_echoed(build_it, message):
    with pytest.raises(SaevError, match=message):
        build_it()
