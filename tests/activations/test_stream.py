from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.activations import ActivationStream
from saev.errors import SaevError
from tests.activations.examples import kinds_of_token
from tests.machine.pretend import DEVICE, Factories


def batches(store, n, kinds=("patch",), **options):
    return list(islice(ActivationStream(store.tokens(-1, kinds), **options), n))


def rows(tensors):
    return sorted(tuple(row) for row in torch.cat(tensors).tolist())


def plain_stream(x_nd, counts, *, batch_size, window, seed):
    """The order of the stream in a few lines, with everything in memory.

    `x_nd` are the vectors chunk by chunk, `counts` how many each chunk has. It spells the random numbers
    of every trained SAE: whoever changes it changes their bytes.
    """
    by_chunk, epoch = np.split(x_nd, np.cumsum(counts)[:-1]), 0
    while True:
        order, waiting = np.random.default_rng([seed, epoch]).permutation(len(counts)), []
        for w, first in enumerate(range(0, len(order), window // 2)):
            waiting += order[first : first + window // 2].tolist()
            if (n := sum(counts[c] for c in waiting) // batch_size) == 0:
                continue
            x = np.concatenate([by_chunk[c] for c in waiting])
            shuffled = x[np.random.default_rng([seed, epoch, w]).permutation(len(x))]
            yield from shuffled[: n * batch_size].reshape(n, batch_size, -1)
            waiting = []
        epoch += 1


@given(
    batch=st.integers(1, 400), window=st.integers(2, 12), seed=st.integers(0, 2**31), start=st.integers(0, 9)
)
@settings(max_examples=25, deadline=None)
def test_batches_are_those_of_the_plain_stream(stores, batch, window, seed, start):
    acts = stores["train"].acts(2)[:, 1:].reshape(-1, 24).astype(np.float32)
    expected = plain_stream(acts, [8 * 16] * 5, batch_size=batch, window=window, seed=seed)
    got = ActivationStream(stores["train"].tokens(2), batch_size=batch, window=window, seed=seed, start=start)
    for ours, theirs in zip(islice(got, 4), islice(expected, start, start + 4), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


@given(kinds=kinds_of_token, window=st.integers(2, 8), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_kinds_without_the_images_that_are_not_present(damaged, kinds, window, seed, data):
    tokens = damaged.tokens(1, kinds)
    batch = data.draw(st.integers(1, tokens.n_vectors))
    x_btd = damaged.acts(1)[:][damaged.present][:, tokens.positions].astype(np.float32)
    counts = [int(damaged.present[first : first + 8].sum()) * tokens.per_image for first in (0, 8, 16)]
    expected = plain_stream(x_btd.reshape(-1, 24), counts, batch_size=batch, window=window, seed=seed)
    got = ActivationStream(tokens, batch_size=batch, window=window, seed=seed)
    for ours, theirs in zip(islice(got, 3), islice(expected, 3), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("part", [(0, 1), (1, 2)])
def test_a_window_on_a_device_gives_the_same_batches(damaged, part):
    """On the pretend device, which has no streams of its own; on a GPU see below."""
    tokens, options = damaged.tokens(1), {"batch_size": 32, "window": 2, "seed": 5, "start": 3, "part": part}
    with Factories():
        there = list(islice(ActivationStream(tokens, device=DEVICE, **options), 40))  # several epochs
    here = list(islice(ActivationStream(tokens, **options), 40))
    for ours, theirs in zip(there, here, strict=True):
        assert ours.device == DEVICE
        torch.testing.assert_close(ours.to("cpu"), theirs, rtol=0, atol=0)


@pytest.mark.gpu
def test_a_window_on_a_gpu_gives_the_same_batches(stores):
    tokens, options = stores["train"].tokens(2), {"batch_size": 32, "window": 2, "seed": 5}
    x_dd = torch.randn(4096, 4096, device="cuda")
    busy = islice(ActivationStream(tokens, device="cuda", **options), 400)
    here = islice(ActivationStream(tokens, **options), 400)
    for ours, theirs in zip(busy, here, strict=True):
        x_dd @ x_dd  # so that the device is behind when the next half is begun
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=0)


def test_an_epoch_gives_every_patch_once(stores):
    expected = torch.from_numpy(stores["train"].acts(2)[:, 1:]).reshape(-1, 24).float()
    # 40 images x 16 patches = 640 vectors; half windows of 1 chunk hold 128 of them.
    for window in (2, 4, 10):
        assert rows(batches(stores["train"], 10, batch_size=64, window=window)) == rows([expected])


def test_seeds_and_epochs_shuffle_differently(stores):
    first, other = (batches(stores["train"], 20, batch_size=64, window=10, seed=seed) for seed in (0, 1))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[10])


@given(
    kinds=kinds_of_token,
    window=st.integers(2, 8),
    world=st.integers(1, 3),
    seed=st.integers(0, 3),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_places_say_where_every_vector_comes_from(damaged, kinds, window, world, seed, data):
    tokens = damaged.tokens(1, kinds)
    size = data.draw(st.integers(1, tokens.n_vectors // world))
    for rank in range(world):
        stream = ActivationStream(
            tokens, batch_size=size * world, window=window, seed=seed, part=(rank, world)
        )
        for batch, places in islice(zip(stream, stream.places(), strict=False), 3):
            assert len(batch) == size
            np.testing.assert_array_equal(batch.numpy(), tokens.at(*places).astype(np.float32))


def test_ranks_are_disjoint_and_together_complete(stores):
    whole = batches(stores["train"], 3, batch_size=64)
    parts = [batches(stores["train"], 3, batch_size=64, part=(rank, 2)) for rank in range(2)]
    for t in range(3):
        assert rows([parts[0][t], parts[1][t]]) == rows([whole[t]])
        assert len(parts[0][t]) == 32


def test_too_few_vectors_for_a_batch(stores):
    with pytest.raises(SaevError, match="192 vectors are fewer than batch_size=4096"):
        ActivationStream(stores["val"].tokens(2), batch_size=4096)


def test_a_batch_of_unequal_ranks_is_refused(stores):
    with pytest.raises(SaevError, match="batch_size must be a multiple of the 3 processes, got 64"):
        ActivationStream(stores["train"].tokens(2), batch_size=64, part=(0, 3))


def test_batches_are_the_callers_own(stores):
    """Writing to a batch changes no later one."""
    for batch, again in zip(
        islice(ActivationStream(stores["train"].tokens(2), batch_size=64), 30),
        batches(stores["train"], 30, batch_size=64),
        strict=True,
    ):
        assert torch.equal(batch, again)
        batch.fill_(0)
