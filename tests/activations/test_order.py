"""Patch tokens out of the order of their grid are told from those in it."""

import numpy as np
import pytest

from saev.activations import inspect_store
from saev.activations.order import token_order
from saev.data import Mosaic
from tests.activations.examples import make


def smooth(b=6, rows=5, columns=7, d=16, seed=0) -> np.ndarray:
    """(b, rows * columns, d) whose neighbours share most of what they hold."""
    x_brcd = np.random.default_rng(seed).normal(size=(b, rows + 1, columns + 1, d))
    mixed = x_brcd[:, :-1, :-1] + x_brcd[:, 1:, :-1] + x_brcd[:, :-1, 1:] + x_brcd[:, 1:, 1:]
    return mixed.reshape(b, rows * columns, d)


def test_neighbours_against_a_loop():
    x_bpd = smooth(b=2, rows=3, columns=4)
    centred = x_bpd - x_bpd.mean(1, keepdims=True)
    unit = (centred / np.linalg.norm(centred, axis=2, keepdims=True)).reshape(2, 3, 4, 16)
    beside = [
        unit[b, r, c] @ unit[b, r + down, c + right]
        for b in range(2)
        for down, right in ((0, 1), (1, 0))
        for r in range(3 - down)
        for c in range(4 - right)
    ]
    found = token_order(x_bpd, (3, 4))
    assert found.neighbours == pytest.approx(np.mean(beside), rel=1e-5)
    flat = unit.reshape(2, 12, 16)
    any_two = [flat[b, i] @ flat[b, j] for b in range(2) for i in range(12) for j in range(12) if i != j]
    assert found.any_two == pytest.approx(np.mean(any_two), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_grid_is_told_from_a_shuffle_of_it(seed):
    x_bpd = smooth(seed=seed)
    assert token_order(x_bpd, (5, 7)).is_grid
    shuffled = np.random.default_rng(seed).permuted(x_bpd, axis=1)
    found = token_order(shuffled, (5, 7))
    assert found.neighbours < 0.1 < token_order(x_bpd, (5, 7)).neighbours


def test_chance_is_exceeded_as_rarely_as_it_is_said():
    noise = np.random.default_rng(0).normal(size=(200, 3, 12, 8))
    assert sum(token_order(x_bpd, (3, 4)).is_grid for x_bpd in noise) <= 8  # 2 of 200 expected


def test_of_few_patches_or_missing_images_nothing_is_said():
    assert token_order(smooth(rows=2, columns=2), (2, 2)) is None
    assert token_order(np.full((2, 12, 3), np.nan), (3, 4)) is None


def test_a_shuffling_backbone_is_told_at_recording_and_by_inspect(tiny_vit, tmp_path, capsys, monkeypatch):
    images = Mosaic(split="train", n=12, size=64)
    plain = make(tiny_vit, tmp_path / "plain", images, split="train")
    assert "order of the grid" not in capsys.readouterr().err  # though its weights are random
    assert all(order.is_grid for order in inspect_store(plain.path).order.values())

    prefix, rng = type(tiny_vit).prefix, np.random.default_rng(0)

    def shuffling(self, pixels, layers):
        """What masked autoencoders do: another order in every image."""
        acts, (first, last) = prefix(self, pixels, layers), self.tokens["patch"]
        for x_btd in acts:
            for x_td in x_btd:
                x_td[first:last] = x_td[first:last][rng.permutation(last - first)]
        return acts

    monkeypatch.setattr(type(tiny_vit), "prefix", shuffling)
    shuffled = make(tiny_vit, tmp_path / "shuffled", images, split="train")
    assert "extract train: warning: the patch tokens of layer 1 may not be" in capsys.readouterr().err
    assert not any(order.is_grid for order in inspect_store(shuffled.path).order.values())
