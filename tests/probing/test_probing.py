import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from saev.data import IGNORE
from saev.features import Split
from saev.probing import THRESHOLDS, f1_table, linear_probes, match_classes


def random_codes(rng, n, s, density=0.3):
    return scipy.sparse.csr_array(
        np.where(rng.random((n, s)) < density, rng.exponential(0.5, (n, s)), 0).astype(np.float32)
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_f1_table_equals_sklearn(seed):
    rng = np.random.default_rng(seed)
    codes, labels = random_codes(rng, 40, 6), rng.integers(0, 4, 40).astype(np.uint16)
    table = f1_table(codes, labels, 5)
    dense = codes.toarray()
    for t, threshold in enumerate(THRESHOLDS):
        for c in range(5):
            for s in range(6):
                expected = f1_score(labels == c, dense[:, s] > threshold, zero_division=0)
                assert table[t, c, s] == pytest.approx(expected)


def planted(seed, n_images, noise):
    """Class c makes latent 10 + c fire at 2, everything else fires at random."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_images * 16).astype(np.uint16)
    dense = random_codes(rng, len(labels), 30, 0.1).toarray()
    dense[:, 10:13] = 2.0 * ((labels[:, None] == np.arange(3)) ^ (rng.random((len(labels), 3)) < noise))
    labels[::7] = IGNORE
    return Split(scipy.sparse.csr_array(dense), labels, 16)


def test_planted_latents_are_found_and_measured_on_validation():
    train, val = planted(0, 40, 0.05), planted(1, 30, 0.2)
    matches = match_classes(train, val, ("a", "b", "c", "absent"))
    assert [m.name for m in matches] == ["a", "b", "c"]
    known = val.labels != IGNORE
    for c, match in enumerate(matches):
        code, truth = val.codes[:, [10 + c]].toarray().ravel()[known], val.labels[known] == c
        assert match.latent == 10 + c
        assert match.f1 == pytest.approx(f1_score(truth, code > match.threshold))
        assert match.ap == pytest.approx(average_precision_score(truth, code))
        assert match.f1_train > match.f1 > match.null_f1_95 > match.null_f1
        assert match.p == pytest.approx(1 / 30)  # no other live latent does as well
        assert match.prevalence == pytest.approx(truth.mean())


def test_latents_unrelated_to_the_labels_are_not_significant():
    rng = np.random.default_rng(2)
    splits = [
        Split(random_codes(rng, 3200, 200, 0.1), rng.integers(0, 2, 3200).astype(np.uint16), 16)
        for _ in range(2)
    ]
    assert min(match.p for match in match_classes(*splits, ("a", "b"))) > 1 / 200


def test_linear_probes_rank_signal_above_noise(stores):
    n_train, n_val = (stores[split].patch_labels().size for split in ("train", "val"))
    labels = {split: stores[split].patch_labels().ravel() for split in ("train", "val")}
    one_hot = np.eye(256, dtype=np.float32)
    perfect = [
        Split(scipy.sparse.csr_array(one_hot[labels[split] % 256]), labels[split], 16)
        for split in ("train", "val")
    ]
    result = linear_probes(*perfect, stores["train"], stores["val"], 2, seed=0)
    assert result["codes"] > 0.95  # the codes are the labels
    assert result["majority"] <= result["codes"] and 0 <= result["activations"] <= 1
    rng = np.random.default_rng(0)
    noise = [
        Split(random_codes(rng, n, 20), labels[split], 16)
        for split, n in (("train", n_train), ("val", n_val))
    ]
    assert linear_probes(*noise, stores["train"], stores["val"], 2, seed=0)["codes"] < 0.5
