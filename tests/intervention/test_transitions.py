"""Where units go, against scikit-learn's confusion matrix and balanced accuracy."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score

from saev.data import IGNORE
from saev.intervention.transitions import Transitions, recall, transitions
from tests.intervention.examples import changed

NAMES = ("cat", "dog", "sky", "sea")


def answers(change):
    """The labelled units' truth, and what is said of them before and after."""
    if change.truth_nu is None:
        known = change.target_nu | change.other_nu
        said = ((of[..., change.target] > 0).int() for of in (change.before_nuc, change.after_nuc))
        return [of[known].numpy() for of in (change.target_nu.int(), *said)]
    known = change.truth_nu != IGNORE
    said = (of.argmax(-1) for of in (change.before_nuc, change.after_nuc))
    return [of[known].numpy() for of in (change.truth_nu, *said)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30), st.booleans())
@settings(max_examples=40, deadline=None)
def test_they_are_sklearns_confusion_matrices(seed, n, u, several):
    """Of nothing, and of images of a single class, too."""
    rng = np.random.default_rng(seed)
    change = changed(rng, (n, u, 4), several=several, labelled=rng.choice([0.0, 0.2, 1.0]))
    names = ("no", "yes") if several else NAMES
    truth, before, after = answers(change)
    found, right = transitions(change, names), recall(change, len(names))
    if not len(truth):
        assert not found.units_cc.nnz and right.balanced() is None and found.largest(3) == []
        return
    labels = range(len(names))
    np.testing.assert_array_equal(
        found.units_cc.toarray(), confusion_matrix(before, after, labels=list(labels))
    )
    there = sorted(set(truth.tolist()))
    common = {"labels": there, "average": "macro", "zero_division": 0}
    expected = [recall_score(truth, said, **common) for said in (before, after)]
    assert right.balanced() == pytest.approx(expected)


def test_they_add_up_over_images():
    change = changed(np.random.default_rng(0), (6, 9, 4))
    parts = transitions(change.of(slice(0, 2)), NAMES) + transitions(change.of(slice(2, None)), NAMES)
    whole = transitions(change, NAMES)
    assert isinstance(parts, Transitions) and (parts.units_cc != whole.units_cc).nnz == 0
    assert whole.units_cc.diagonal().sum() > 0


def test_the_commonest_changes_come_first_and_those_that_stay_are_no_change():
    units = scipy.sparse.csr_array(np.array([[90, 10, 0, 0], [7, 0, 3, 0], [0, 10, 0, 0], [0, 0, 0, 5]]))
    moves = Transitions(NAMES, units)
    assert moves.largest(3) == [
        {"from": "cat", "to": "dog", "units": 10, "share": 0.1},
        {"from": "sky", "to": "dog", "units": 10, "share": 1.0},
        {"from": "dog", "to": "cat", "units": 7, "share": 0.7},
    ]
    assert [row["to"] for row in moves.largest(5, "dog")] == ["cat", "sky"]
    assert moves.largest(5, "sea") == []
