"""Every measure against a loop over images, units and classes, with probabilities from `math`."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.data import IGNORE
from saev.intervention.measures import MEASURES, Change, measured
from tests.intervention.examples import changed


def softmax(logits):
    top = max(logits)
    return [math.exp(x - top) / sum(math.exp(y - top) for y in logits) for x in logits]


def sigmoid(logits):
    return [1 / (1 + math.exp(-x)) for x in logits]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def said(change, logits):
    """The answer to the whole, and that about the target."""
    if change.truth_nu is None:
        return [x > 0 for x in logits], logits[change.target] > 0
    return (best := max(range(len(logits)), key=lambda c: logits[c])), best


def of_unit(change, i, u):
    """The value of every measure on one unit."""
    before, after = change.before_nuc[i, u].tolist(), change.after_nuc[i, u].tolist()
    t, several = change.target, change.truth_nu is None
    p, q = (sigmoid if several else softmax)(before), (sigmoid if several else softmax)(after)
    (all_before, one_before), (all_after, one_after) = said(change, before), said(change, after)
    if several:
        own = (1 - q[t]) - (1 - p[t])
        divergence = sum(kl((a, 1 - a), (b, 1 - b)) for a, b in zip(p, q, strict=True))
    else:
        c = int(change.truth_nu[i, u])
        own, divergence = (0 if c == IGNORE else q[c] - p[c]), kl(p, q)
    return {
        "target": one_before != one_after,
        "other": all_before != all_after,
        "collateral": all_before != all_after,
        "target_probability": q[t] - p[t],
        "other_probability": own,
        "target_logit": after[t] - before[t],
        "off_target_logit": sum(abs(after[c] - before[c]) for c in range(len(p)) if c != t),
        "other_kl": divergence,
    }


def by_loops(change):
    n, u, c = change.before_nuc.shape
    found = {name: np.zeros((2, n)) for name in MEASURES}
    for i in range(n):
        shows = any(change.target_nu[i])
        for v in range(u):
            values = of_unit(change, i, v)
            for name, value in values.items():
                mask = change.target_nu if "target" in name else change.other_nu
                if mask[i, v] and not (name == "collateral" and shows):
                    found[name][:, i] += value, c - 1 if name == "off_target_logit" else 1
    return found


def check(change):
    found, expected = measured(change), by_loops(change)
    assert found.keys() == MEASURES.keys()
    for name, sums in found.items():
        assert all(of.shape == (len(change.before_nuc),) and of.dtype == np.float64 for of in sums)
        np.testing.assert_allclose(sums, expected[name], rtol=1e-9, atol=1e-12)
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.integers(1, 5), st.integers(1, 4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_measure_is_that_of_a_loop_over_units(seed, n, u, c, several):
    """Of one class, too, of images without a label, and of more images than are taken at a time."""
    check(changed(np.random.default_rng(seed), (n, u, c), several=several))


@pytest.mark.parametrize("several", [False, True])
def test_masks_without_a_unit_give_sums_of_nothing(several):
    change = changed(np.random.default_rng(0), (3, 4, 5), several=several, labelled=0.0)
    found = check(change)
    assert all(not sums.part.any() and not sums.whole.any() for sums in found.values())


@pytest.mark.parametrize("several", [False, True])
def test_no_edit_changes_nothing(several):
    change = changed(np.random.default_rng(1), (3, 4, 5), several=several)
    same = Change(change.before_nuc, change.before_nuc, *(getattr(change, f) for f in REST))
    found = measured(same)
    assert all(not sums.part.any() for sums in found.values()) and found["other"].whole.any()


REST = ("target", "target_nu", "other_nu", "truth_nu")


@pytest.mark.parametrize("several", [False, True])
def test_certain_answers_and_classes_that_never_come_stay_numbers(several):
    """A class that the training split lacks has the logit -1e4."""
    change = changed(np.random.default_rng(2), (2, 3, 4), several=several)
    change.before_nuc[..., 1] = change.after_nuc[..., 1] = -1e4
    change.before_nuc[0], change.after_nuc[1] = 1e3 * change.before_nuc[0], 1e3 * change.after_nuc[1]
    assert all(np.isfinite(sums).all() for sums in measured(change).values())


def test_collateral_is_of_images_that_show_no_unit_of_the_target():
    """Two images with the same change; one unit of the first is of the target."""
    before = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]).repeat(2, 1, 1)
    truth = torch.tensor([[0, 1], [1, 1]])
    found = measured(Change(before, before.flip(-1), 0, truth == 0, truth == 1, truth))
    assert [list(found[name].part) for name in ("target", "other", "collateral")] == [[1, 0], [1, 2], [0, 2]]
    assert list(found["collateral"].whole) == [0, 2]
