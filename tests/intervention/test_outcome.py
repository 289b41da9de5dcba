"""Figures of an experiment by hand, from rows of counts."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from saev.intervention import Arm, summarise
from saev.intervention.dose import selectivity
from saev.intervention.measures import MEASURES, Sums
from saev.intervention.transitions import Recall, Transitions
from tests.intervention import examples

ARM = Arm(place="all", strengths=(-1.0,), images=3)
RANDOM = Arm(place="all", strengths=(-1.0,), images=3, control="random latent")
outcome = partial(examples.outcome, arm=ARM)


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
    # of images that show none of the class: of a the second, of b the first and the third
    assert point["collateral"] == 0
    assert (point["images"], point["clusters"], point["target_interval"]) == (3, 3, None)  # too few
    assert point["effect"] is point["effect_interval"] is point["control"] is None  # no control was run
    assert curve == {
        "method": "chosen latent",
        "place": "all",
        "selectivity": pytest.approx(selectivity([(0.75, 0.005)])),
        "other_at_80": None,
        "other_at_80_interval": None,
        "collateral_at_80": None,
        "collateral_at_80_interval": None,
        "area": 0.75,
        "alpha_crit": 1.0,
        "monotonicity": None,
    }
    common = {"method": "chosen latent", "place": "all", "strength": -1.0, "to": None, "to_share": None}
    assert summary["classes"] == [
        {"class": "a", **common, "target": 0.5, "other": 0.01, "images": 2},
        {"class": "b", **common, "target": 1.0, "other": 0.0, "images": 1},
    ]


def test_a_dominant_class_does_not_decide():
    rows = [
        outcome("a", ([1, 1, 1], [1, 1, 1], [0, 0, 0], [900, 900, 900])),
        outcome("b", ([0, 0, 0], [900, 900, 900], [0, 0, 0], [1, 1, 1])),
    ]
    (point,) = summarise(rows)["points"]
    assert point["target"] == 0.5 and point["target_pooled"] == pytest.approx(3 / 2703)


def test_a_class_that_no_image_shows_is_null_and_left_out():
    shown = outcome("a", ([1, 0, 2], [2, 0, 2], [0, 0, 1], [4, 4, 4]))
    absent = outcome("b", ([0, 0, 0], [0, 0, 0], [3, 0, 0], [6, 4, 6]))
    summary = summarise([shown, absent])
    (point,) = summary["points"]
    assert point["target"] == point["target_pooled"] == 0.75
    assert point["other"] == pytest.approx((1 / 12 + 3 / 16) / 2)
    assert [(row["class"], row["target"], row["images"]) for row in summary["classes"]] == [
        ("a", 0.75, 2),
        ("b", None, 0),
    ]


def test_without_any_shown_class_everything_is_null():
    absent = outcome("b", ([0, 0, 0], [0, 0, 0], [3, 0, 0], [6, 4, 6]))
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
    assert curve["collateral_at_80"] == 0 and curve["other_at_80_interval"] is None  # of one image


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 14))
@settings(max_examples=20, deadline=None)
def test_points_are_means_of_ratios_over_classes(seed, n_classes, n):
    rows = drawn(np.random.default_rng(seed), n_classes, n)
    (point,) = summarise(rows, seed=7)["points"]
    assert (point["images"], point["clusters"]) == (n, n)
    for name in ("target", "other"):
        part, whole = (np.stack([row.sums[name][i] for row in rows]) for i in (0, 1))
        assert point[name] == (pytest.approx(mean_of_ratios(part, whole)) if whole.sum() else None)
        if whole.sum():
            assert point[f"{name}_pooled"] == part.sum() / whole.sum()
            assert (point[f"{name}_interval"] is None) == (n < 10)


def mean_of_ratios(part, whole):
    return np.mean([p.sum() / w.sum() for p, w in zip(part, whole, strict=True) if w.sum()])


def drawn(rng, n_classes, n, arm=ARM, rate=0.5):
    names = "abcd"[:n_classes]
    target, other = rng.integers(0, 4, (n_classes, n)), rng.integers(0, 9, (n_classes, n))
    return [
        outcome(name, (rng.binomial(t, rate), t, rng.binomial(o, 0.1), o), arm=arm, classes=tuple("abcd"))
        for name, t, o in zip(names, target, other, strict=True)
    ]


def test_an_effect_is_that_on_the_images_and_classes_of_its_control():
    """The control lacks a class, and was run on 12 of 20 images; of it two were drawn for class a."""
    rng = np.random.default_rng(0)
    edit = drawn(rng, 3, 20)
    control = drawn(rng, 2, 12, RANDOM, 0.1)
    second = drawn(rng, 1, 12, RANDOM, 0.1)
    claim, random = summarise([*control, *edit, *second])["points"]

    def mean(of, n):
        return of.part[:n].sum() / of.whole[:n].sum()

    of_edit = [mean(edit[c].sums["target"], 12) for c in (0, 1)]
    both = Sums(*(x + y for x, y in zip(control[0].sums["target"], second[0].sums["target"], strict=True)))
    of_control = [mean(both, 12), mean(control[1].sums["target"], 12)]
    assert claim["effect"] == pytest.approx(np.mean(of_edit) - np.mean(of_control))
    assert claim["control_target"] == random["target"] == pytest.approx(np.mean(of_control))
    assert (claim["control"], claim["effect_images"], claim["images"]) == ("random latent", 12, 20)
    low, high = claim["effect_interval"]
    assert low < claim["effect"] < high and claim["other_effect_interval"] is not None
    assert random["effect"] is None and random["control"] is None


def test_the_control_is_of_the_same_edit_and_place_and_a_latent_if_there_is_one():
    rng = np.random.default_rng(1)

    def arm(control=None, edit="set", place="all"):
        return Arm(place=place, strengths=(-1.0,), images=12, control=control, edit=edit)

    latent, direction = "random latent", "random direction"
    arms = [arm(), arm(edit="add"), arm(place="class"), arm(latent), arm(direction), arm(direction, "add")]
    points = summarise([row for one in arms for row in drawn(rng, 2, 12, one)])["points"]
    controls = {(point["method"], point["place"]): point["control"] for point in points}
    assert controls == {
        ("chosen latent", "all"): latent,
        ("chosen latent, add", "all"): f"{direction}, add",
        ("chosen latent", "class"): None,
        (latent, "all"): None,
        (direction, "all"): None,
        (f"{direction}, add", "all"): None,
    }


def test_areas_have_their_control_as_the_null():
    rng = np.random.default_rng(2)
    rows = [*drawn(rng, 2, 12), *drawn(rng, 2, 12, RANDOM, 0.1)]
    claim, random = summarise(rows)["curves"]
    assert claim["selectivity_null"] == pytest.approx(random["selectivity"])
    assert claim["selectivity_effect"] == pytest.approx(claim["selectivity"] - random["selectivity"])
    assert claim["area_effect"] == pytest.approx(claim["area"] - random["area"])
    low, high = claim["selectivity_effect_interval"]
    assert low < claim["selectivity_effect"] < high and "selectivity_null" not in random


def test_clusters_are_resampled_where_they_are_given():
    rows = drawn(np.random.default_rng(3), 2, 24)
    each, few, twins = (
        summarise(rows, cluster_n=cluster)["points"][0]
        for cluster in (None, np.arange(24) // 3, np.arange(24) // 2)
    )
    assert (each["clusters"], few["clusters"], twins["clusters"]) == (24, 8, 12)
    assert each["target"] == few["target"] == twins["target"]
    assert few["target_interval"] is None and each["target_interval"] != twins["target_interval"]


def test_accuracy_and_where_the_class_goes():
    rng = np.random.default_rng(4)
    truth, before, after = rng.integers(0, 2, (3, 40))
    right = Recall(
        *(np.bincount(of, minlength=2) for of in (truth, truth[before == truth], truth[after == truth]))
    )
    moves = Transitions(("a", "b"), scipy.sparse.csr_array(np.array([[6, 2], [1, 5]])))
    (row,) = drawn(rng, 1, 3)
    summary = summarise([row._replace(recall=right, moves=moves)])
    (point,), (of_class,) = summary["points"], summary["classes"]
    assert point["balanced_before"] == pytest.approx(balanced_accuracy_score(truth, before))
    assert point["balanced_after"] == pytest.approx(balanced_accuracy_score(truth, after))
    assert (of_class["to"], of_class["to_share"]) == ("b", 0.25)


def test_every_measure_stands_in_a_point_and_can_be_read_as_json():
    (point,) = summarise(drawn(np.random.default_rng(5), 2, 12))["points"]
    assert {*MEASURES, *(f"{name}_interval" for name in MEASURES)} <= point.keys()
    assert point["other_kl"] is None  # the rows say nothing of it
    flat = (int, float, str, type(None))
    assert all(isinstance(value, flat) or all(type(x) is float for x in value) for value in point.values())
