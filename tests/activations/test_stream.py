from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.activations import ActivationStream
from saev.data import IGNORE
from saev.errors import SaevError


def batches(store, n, **options):
    return list(islice(ActivationStream(store, 2, **options), n))


def rows(tensors):
    return sorted(tuple(row) for row in torch.cat(tensors).tolist())


def test_an_epoch_gives_every_patch_once(stores):
    expected = torch.from_numpy(stores["train"].patches(2, 0, 40)).reshape(-1, 24).float()
    # 40 images x 16 patches = 640 vectors; half windows of 1 chunk hold 128 of them.
    for window in (2, 4, 10):
        assert rows(batches(stores["train"], 10, batch_size=64, window=window)) == rows([expected])


@given(start=st.integers(0, 25), seed=st.integers(0, 5), window=st.integers(2, 12))
@settings(max_examples=15, deadline=None)
def test_batch_t_depends_on_seed_and_t_alone(stores, start, seed, window):
    options = {"batch_size": 100, "window": window, "seed": seed}
    expected = batches(stores["train"], start + 2, **options)[start:]
    for a, b in zip(batches(stores["train"], 2, start=start, **options), expected, strict=True):
        assert torch.equal(a, b)


def test_seeds_and_epochs_shuffle_differently(stores):
    first, other = (batches(stores["train"], 20, batch_size=64, window=10, seed=seed) for seed in (0, 1))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[10])


def test_ranks_are_disjoint_and_together_complete(stores):
    whole = batches(stores["train"], 3, batch_size=64)
    parts = [batches(stores["train"], 3, batch_size=64, rank=rank, world=2) for rank in range(2)]
    for t in range(3):
        assert rows([parts[0][t], parts[1][t]]) == rows([whole[t]])
        assert len(parts[0][t]) == 32


def test_windows_smaller_than_a_batch_are_joined(stores):
    assert all(len(batch) == 300 for batch in batches(stores["train"], 8, batch_size=300, window=2))


def test_too_few_vectors_for_a_batch(stores):
    with pytest.raises(SaevError, match="192 vectors are fewer than batch_size=4096"):
        ActivationStream(stores["val"], 2, batch_size=4096)


def test_tokens_labels_and_norms_filter(stores):
    store = stores["train"]
    acts, labels, norms = store.acts(2)[:].astype(np.float32), store.patch_labels(), store.norms(2)

    def all_rows(n, **options):
        return rows([next(iter(ActivationStream(store, 2, batch_size=n, window=10, **options)))])

    assert all_rows(40, tokens=("cls",)) == rows([torch.from_numpy(acts[:, 0])])
    assert all_rows(40 * 17, tokens=("cls", "patch")) == rows([torch.from_numpy(acts.reshape(-1, 24))])
    known = acts[:, 1:][labels != IGNORE]
    assert 0 < len(known) < 640
    assert all_rows(len(known), labelled=True) == rows([torch.from_numpy(known)])
    limit = np.median(norms[:, 1:])
    short = acts[:, 1:][norms[:, 1:] <= limit]
    assert 0 < len(short) < 640
    assert all_rows(len(short), max_norm=1.0) == rows([torch.from_numpy(short)])


@given(
    window=st.integers(2, 12),
    batch=st.integers(10, 200),
    world=st.sampled_from([1, 2]),
    labelled=st.booleans(),
    seed=st.integers(0, 3),
)
@settings(max_examples=15, deadline=None)
def test_places_say_where_every_vector_comes_from(stores, window, batch, world, labelled, seed):
    store = stores["train"]
    for rank in range(world):
        options = {
            "batch_size": batch * world,
            "window": window,
            "rank": rank,
            "world": world,
            "labelled": labelled,
            "seed": seed,
        }
        stream = ActivationStream(store, 2, **options)
        for got, places in zip(islice(stream, 4), stream.places(), strict=False):
            np.testing.assert_array_equal(got.numpy(), store.vectors(2, *places.T).astype(np.float32))


def test_a_batch_of_unequal_ranks_is_refused(stores):
    with pytest.raises(SaevError, match="batch_size must be a multiple of the 3 processes, got 64"):
        ActivationStream(stores["train"], 2, batch_size=64, world=3)


def test_batches_are_the_callers_own(stores):
    """Writing to a batch changes no later one, in either dtype."""
    for batch, again in zip(
        ActivationStream(stores["train"], 2, batch_size=64),
        batches(stores["train"], 30, batch_size=64),
        strict=False,
    ):
        assert torch.equal(batch, again)
        batch.fill_(0)
