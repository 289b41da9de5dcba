"""Figures of an experiment by hand, from rows of counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.intervention import Arm, Outcome, summarise
from saev.intervention.experiment import Counts
from saev.intervention.outcome import other_at, selectivity
from saev.statistics import mean_of_ratios, resamples

ARM = Arm(place="all", strengths=(-1.0,), images=3)


def outcome(target, counts, *, arm=ARM, strength=-1.0):
    """From rows (target changed, target, other changed, other), one value per image each."""
    return Outcome(arm, target, strength, Counts(*map(np.array, counts)))


def test_selectivity_by_hand():
    assert selectivity([(0.5, 0.5)]) == pytest.approx(0.5)
    assert selectivity([(1.0, 0.0)]) == pytest.approx(1.0)
    assert selectivity([(0.0, 1.0)]) == pytest.approx(0.0)
    # (0,0) - (0.2,0.8) - (1,1): 0.08 + 0.72
    assert selectivity([(0.8, 0.2)]) == pytest.approx(0.8)
    # in the order of other change, whatever that of the strengths: 0.02 + 0.06 + 0.72
    assert (
        selectivity([(0.8, 0.2), (0.4, 0.1)]) == selectivity([(0.4, 0.1), (0.8, 0.2)]) == pytest.approx(0.8)
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=6))
@settings(deadline=None)
def test_selectivity_is_an_area(points):
    assert 0 <= selectivity(points) <= 1
    assert selectivity([(other, other) for other, _ in points]) == pytest.approx(0.5)


def test_other_at_by_hand():
    points = [(0.4, 0.0), (0.6, 0.1), (1.0, 0.3)]  # (target, other)
    assert other_at(points, 0.8) == pytest.approx(0.2)
    assert other_at(points, 0.2) == pytest.approx(0.0)
    assert other_at(points, 1.0) == pytest.approx(0.3)
    assert other_at(points[:2], 0.8) is None
    assert other_at([(0.8, 0.4)], 0.4) == pytest.approx(0.2)  # from (0, 0) on
    assert other_at([(0.4, 0.0), (0.2, 0.9), (0.9, 0.5)], 0.55) == pytest.approx(0.9 - 0.4 * 0.5)
    assert other_at([], 0.8) is None


def test_one_point_by_hand():
    rows = [
        outcome("a", ([10, 0, 0], [10, 0, 10], [3, 0, 0], [100, 100, 100])),
        outcome("b", ([0, 80, 0], [0, 80, 0], [0, 0, 0], [100, 50, 50])),
    ]
    summary = summarise(rows)
    (point,), (curve,) = summary["points"], summary["curves"]
    assert (point["method"], point["place"], point["strength"]) == ("chosen latent", "all", -1.0)
    assert point["target"] == pytest.approx((0.5 + 1) / 2)  # the mean over classes
    assert point["target_pooled"] == pytest.approx(90 / 100)  # over units
    assert point["other"] == pytest.approx((3 / 300 + 0) / 2)
    assert point["other_pooled"] == pytest.approx(3 / 500)
    for name in ("target", "other"):
        low, high = point[f"{name}_interval"]
        assert 0 <= low <= point[name] <= high <= 1 and low < high
    assert curve == {
        "method": "chosen latent",
        "place": "all",
        "selectivity": pytest.approx(selectivity([(0.75, 0.005)])),
        "other_at_80": None,
    }
    common = {"method": "chosen latent", "place": "all", "strength": -1.0}
    assert summary["classes"] == [
        {"class": "a", **common, "target": 0.5, "other": 0.01, "images": 2},
        {"class": "b", **common, "target": 1.0, "other": 0.0, "images": 1},
    ]


def test_a_dominant_class_does_not_decide():
    rows = [
        outcome("rare", ([1, 1, 1], [1, 1, 1], [0, 0, 0], [900, 900, 900])),
        outcome("background", ([0, 0, 0], [900, 900, 900], [0, 0, 0], [1, 1, 1])),
    ]
    (point,) = summarise(rows)["points"]
    assert point["target"] == 0.5 and point["target_pooled"] == pytest.approx(3 / 2703)


def test_a_class_that_no_image_shows_is_null_and_left_out():
    shown = outcome("shown", ([1, 0, 2], [2, 0, 2], [0, 0, 1], [4, 4, 4]))
    absent = outcome("absent", ([0, 0, 0], [0, 0, 0], [3, 0, 0], [6, 4, 6]))
    summary = summarise([shown, absent])
    (point,) = summary["points"]
    assert point["target"] == point["target_pooled"] == 0.75
    assert point["other"] == pytest.approx((1 / 12 + 3 / 16) / 2)
    assert [(row["class"], row["target"], row["images"]) for row in summary["classes"]] == [
        ("shown", 0.75, 2),
        ("absent", None, 0),
    ]


def test_without_any_shown_class_everything_is_null():
    absent = outcome("absent", ([0, 0, 0], [0, 0, 0], [3, 0, 0], [6, 4, 6]))
    summary = summarise([absent])
    (point,) = summary["points"]
    assert point["target"] is point["target_interval"] is point["target_pooled"] is None
    assert point["other"] == pytest.approx(3 / 16)
    assert summary["curves"] == [{"method": "chosen latent", "place": "all"}]
    assert summarise([]) == {"points": [], "curves": [], "classes": []}


def test_methods_and_places_have_their_own_curves():
    """Whatever the order of the rows, with other images for the control."""
    control = Arm(place="all", control="random latent", strengths=(0.0, -2.0), images=2)
    places = [Arm(place=place, strengths=(0.0, -2.0), images=3) for place in ("class", "all")]
    rows = [
        outcome(
            name,
            ([n, 0], [4, 4], [0, 1], [4, 4])
            if arm is control
            else ([n, 1, 0], [4, 4, 0], [0, 1, n], [4, 4, 4]),
            arm=arm,
            strength=strength,
        )
        for name in "ab"
        for n, strength in ((1, 0.0), (3, -2.0))
        for arm in (*places, control)
    ]
    summary = summarise(rows)
    assert [(point["method"], point["place"], point["strength"]) for point in summary["points"]] == [
        (method, place, strength)
        for method, place in (("chosen latent", "all"), ("chosen latent", "class"), ("random latent", "all"))
        for strength in (0.0, -2.0)
    ]
    weak, strong = (2 / 8, 2 / 12), (4 / 8, 4 / 12)
    for curve in summary["curves"][:2]:
        assert curve["selectivity"] == pytest.approx(selectivity([weak, strong]))
        assert curve["other_at_80"] is None
    assert summary["curves"][2]["selectivity"] == pytest.approx(selectivity([(1 / 8, 1 / 8), (3 / 8, 1 / 8)]))
    assert len(summary["classes"]) == len(rows)


def test_other_at_80_is_read_between_strengths():
    arm = Arm(place="all", strengths=(-1.0, -2.0), images=1)
    rows = [
        outcome("a", ([6], [10], [1], [10]), arm=arm, strength=-1.0),
        outcome("a", ([10], [10], [3], [10]), arm=arm, strength=-2.0),
    ]
    (curve,) = summarise(rows)["curves"]
    assert curve["other_at_80"] == pytest.approx(0.2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_points_are_means_of_ratios_over_classes(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    target, other = rng.integers(0, 4, (n_classes, n)), rng.integers(0, 9, (n_classes, n))
    rows = [
        outcome(str(c), (rng.binomial(target[c], 0.5), target[c], rng.binomial(other[c], 0.1), other[c]))
        for c in range(n_classes)
    ]
    (point,) = summarise(rows, seed=7)["points"]
    stacked = Counts(*(np.stack([getattr(row.counts, field) for row in rows]) for field in Counts._fields))
    for name in ("target", "other"):
        changed, there = getattr(stacked, f"{name}_changed"), getattr(stacked, name)
        expected = mean_of_ratios(changed, there, resamples(n, seed=7))
        assert point[name] == expected.value
        if there.sum():
            assert point[f"{name}_interval"] == [expected.low, expected.high]
            assert point[f"{name}_pooled"] == changed.sum() / there.sum()
