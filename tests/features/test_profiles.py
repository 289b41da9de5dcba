"""Profiles of latents, counted block by block, against dense loops over all codes."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from saev.errors import SaevError
from saev.features import Profiler, load_profile, save_profile
from saev.features.encoding import Block
from saev.features.profiles import EDGES, KEPT, QUANTILES
from saev.sae import SAE, TopK
from tests.probing.examples import codes_of, random_codes, seeds

PER_IMAGE = 4


def blocks(dense_us, size):
    """Of so many images each."""
    codes = codes_of(dense_us, PER_IMAGE).csr
    for first in range(0, len(dense_us) // PER_IMAGE, size):
        part = codes[first * PER_IMAGE : (first + size) * PER_IMAGE]
        counts = np.diff(part.indptr).reshape(-1, PER_IMAGE)
        images = first + np.arange(len(counts))
        yield Block(images, part.data.astype(np.float16), part.indices.astype(np.uint16), counts)


def profile(dense_us, size=3, **options):
    s = dense_us.shape[1]
    made = Profiler(len(dense_us) // PER_IMAGE, PER_IMAGE, s, **options)
    for block in blocks(dense_us, size):
        made.update(block)
    return made.compute(np.eye(s, 5, dtype=np.float32))


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_a_profile_is_that_of_the_dense_codes(seed):
    dense = random_codes(np.random.default_rng(seed), 120, 10, 0.3).astype(np.float16).astype(np.float32)
    dense[:, 3] = 0
    found = profile(dense)
    for s in range(10):
        active = np.sort(dense[:, s][dense[:, s] > 0])
        of_images = dense[:, s].reshape(30, 4).max(1)
        assert found.density_s[s] == len(active) / 120
        assert found.images_s[s] == (of_images > 0).mean()
        assert found.maximum_s[s] == active.max(initial=0)
        assert found.mean_s[s] == pytest.approx(active.mean() if len(active) else 0)
        np.testing.assert_array_equal(found.histogram_sh[s], np.histogram(active, EDGES)[0])
        if len(active):
            lower, higher = (np.quantile(active, QUANTILES, method=how) for how in ("lower", "higher"))
            assert (found.quantiles_sq[s] >= lower / 1.125).all()
            assert (found.quantiles_sq[s] <= np.minimum(higher * 1.125, active[-1])).all()
        else:
            assert not found.quantiles_sq[s].any() and (found.strongest_sk[s] == -1).all()
        ranked = np.argsort(-of_images, kind="stable")[: min(KEPT, (of_images > 0).sum())]
        assert found.strongest_sk[s].tolist() == [*ranked, *[-1] * (KEPT - len(ranked))]


def test_how_the_images_come_changes_nothing():
    dense = random_codes(np.random.default_rng(0), 120, 6)
    for one, other in zip(profile(dense, 1), profile(dense, 30), strict=True):
        np.testing.assert_array_equal(one, other)


def test_images_are_spread_from_the_strongest_to_the_weakest():
    dense = np.zeros((100, 9), np.float32)
    dense[1 : 17 * 4 : 4, 0] = np.arange(17, 0, -1)  # image 0 the strongest, 16 the weakest that fires
    dense[[0, 8], 1] = 1, 2
    found = profile(dense)
    assert found.spread_sk[0].tolist() == list(range(0, 17, 2))
    assert found.spread_sk[1].tolist() == [2, 0, *[-1] * 7]
    dense[96:, 0] = 8  # much of it, though none of it is large
    assert profile(dense, by="sum").spread_sk[0, 0] == 24 and profile(dense).spread_sk[0, 0] == 0
    assert profile(dense, by="sum").strongest_sk[0, 0] == 24


def test_the_sample_is_of_whole_images_that_the_seed_draws(monkeypatch):
    monkeypatch.setattr("saev.features.profiles.SAMPLE", 20)
    dense = random_codes(np.random.default_rng(0), 120, 6)
    taken = []
    for seed in (0, 0, 1):
        made = Profiler(30, PER_IMAGE, 6, seed=seed)
        for block in blocks(dense, 7):
            made.update(block)
        images, codes = made.sample
        expected = dense.reshape(30, 4, 6)[images].reshape(-1, 6)
        np.testing.assert_allclose(codes.toarray(), expected, rtol=1e-3)
        taken.append(images.tolist())
    assert taken[0] == taken[1] != taken[2] and len(taken[0]) == 5


def test_memory_does_not_grow_with_the_images(monkeypatch):
    monkeypatch.setattr("saev.features.profiles.SAMPLE", 400)

    def peak(passes):
        dense = random_codes(np.random.default_rng(0), 400, 50)
        tracemalloc.start()
        made = Profiler(100 * passes, PER_IMAGE, 50)
        for number in range(passes):
            for block in blocks(dense, 10):
                made.update(block._replace(images=block.images + 100 * number))
        made.compute(np.eye(50, 5))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(20) < 1.2 * peak(2)


def test_the_file_is_the_saes_alone(tmp_path):
    found = profile(random_codes(np.random.default_rng(0), 40, 6))
    sae, other = (SAE(TopK(d_sae=6, k=2), torch.full((5,), value), 1.0) for value in (0.0, 1.0))
    save_profile(found, sae, tmp_path / "latents.safetensors")
    for name, array in load_profile(tmp_path / "latents.safetensors", sae)._asdict().items():
        np.testing.assert_allclose(array, getattr(found, name), rtol=1e-6)
    with pytest.raises(SaevError, match="codes of SAE .*, not of the one given"):
        load_profile(tmp_path / "latents.safetensors", other)
