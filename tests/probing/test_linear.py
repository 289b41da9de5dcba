"""Linear probes: signal above noise, on the same units, and none where there is nothing to tell apart."""

import numpy as np
import pytest

from saev.probing import classes_of_images, classes_of_tokens, linear_probes
from tests.probing.examples import codes_of, concepts_of, random_codes
from tests.relabelled import Relabelled

T = 16


def splits_of(stores, dense_of, asked_of=classes_of_tokens):
    """(codes, concepts, tokens) of both splits, the codes made from the concepts."""
    splits = []
    for split in ("train", "val"):
        tokens = stores[split].tokens(2)
        asked = asked_of(tokens)
        splits.append(
            (codes_of(dense_of(asked), per_image=len(asked.known) // tokens.n_images), asked, tokens)
        )
    return splits


def one_hot(asked):
    return asked.truth.toarray().astype(np.float32)


def noise(asked):
    return random_codes(np.random.default_rng(0), len(asked.known), 20)


def test_codes_that_are_the_labels_beat_noise(stores):
    perfect, random = (linear_probes(*splits_of(stores, made), seed=0) for made in (one_hot, noise))
    assert perfect["codes"] > 0.95
    assert random["codes"] < 0.5
    assert perfect["activations"] == random["activations"]  # the same units in both
    labels = stores["val"].patch_labels()
    known = labels[labels < 16]
    assert perfect["majority"] == random["majority"] == pytest.approx(np.bincount(known).max() / len(known))
    # 16 photographs: even random blocks tell more than the most frequent.
    assert perfect["majority"] < perfect["activations"] <= 1


def test_codes_of_whole_images_face_the_mean_of_their_tokens(stores):
    """The label is planted in the mean activation, and nowhere else."""
    thirds = {}
    for split, store in stores.items():
        mean = store.acts(2)[:, 1:].astype(np.float32).mean(1)[:, 0]
        thirds[split] = Relabelled(store, ("low", "high"), mean > np.median(mean))
    result = linear_probes(
        *splits_of(thirds, one_hot, lambda tokens: classes_of_images(tokens.store)), seed=0
    )
    assert result["codes"] == 1
    assert result["activations"] >= 0.75
    assert result["majority"] == 0.5


def test_units_are_drawn_by_seed(stores):
    splits = splits_of(stores, noise)
    first, again = (linear_probes(*splits, seed=1, max_tokens=100) for _ in range(2))
    assert first == again
    assert first != linear_probes(*splits, seed=2, max_tokens=100)


def test_units_that_show_several_concepts_or_none_are_left_out(stores):
    """Their codes lie: with them the probe would fail."""

    def asked(tokens):
        truth = np.arange(tokens.n_images * T)[:, None] % 2 == np.arange(2)
        truth[::3], truth[1::3] = True, False
        return concepts_of(truth, per_image=T)

    def lying(asked):
        codes = np.repeat(np.eye(2)[[0, 1, 1]], len(asked.known) // 3 + 1, axis=0)[: len(asked.known)]
        alone = asked.single >= 0
        codes[alone] = np.eye(2)[asked.single[alone]]
        return codes

    result = linear_probes(*splits_of(stores, lying, asked), seed=0)
    assert result["codes"] == 1 and result["majority"] == pytest.approx(0.5, abs=0.01)


def test_nothing_to_tell_apart_is_no_probe(stores):
    def labelled(train, val):
        return {
            "train": Relabelled(stores["train"], "ab", train),
            "val": Relabelled(stores["val"], "ab", val),
        }

    one, none, two = 0, 65535, np.arange
    for train, val in (
        (np.full(40, one), two(12) % 2),
        (np.full(40, none), two(12) % 2),
        (two(40) % 2, np.full(12, none)),
        (np.r_[np.ones(1), np.full(39, none)], two(12) % 2),
    ):
        assert linear_probes(*splits_of(labelled(train, val), noise), seed=0) is None
    rare = np.arange(40) == 7
    assert linear_probes(*splits_of(labelled(rare, two(12) % 2), noise), seed=0, max_tokens=2) is None
