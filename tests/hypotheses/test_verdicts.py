"""The rules by which a verdict is given."""

import json

import numpy as np
import pytest
import scipy.stats

from saev.hypotheses import Evidence, Standing, judge
from tests.hypotheses.examples import OPEN, hypothesis, sizes, study


def one(evidence, **changes):
    return judge([hypothesis(**changes)], [evidence], [OPEN])[0]


def plain(effect, g=12, others=None, spread=0.1):
    """g clusters of ten units, of which every second has as much more as the next has less; the control does
    nothing."""
    ratio_g = effect + spread * np.resize([1, -1], g) * np.linspace(0.5, 1, g)
    edit = np.stack([10 * ratio_g, np.full(g, 10.0)], 1)
    of_others = None if others is None else np.stack([np.full(g, others * 30), np.full(g, 30.0)], 1)
    return Evidence(edit, np.stack([edit * [0, 1]] * 3), of_others)


@pytest.mark.parametrize(
    ("effect", "others", "margin", "verdict"),
    [
        (0.8, None, None, "supported"),
        (0.2, None, None, "refuted"),
        (0.5, None, None, "inconclusive"),
        (0.8, 0.9, None, "supported"),  # no claim is made of others
        (0.8, 0.1, 0.2, "supported"),
        (0.8, 0.3, 0.2, "refuted"),
        (0.2, 0.1, 0.2, "refuted"),
        (0.5, 0.1, 0.2, "inconclusive"),
        (0.8, 0.2, 0.2, "inconclusive"),
    ],
)
def test_supported_takes_both_claims_and_refuted_the_failure_of_one(effect, others, margin, verdict):
    assert one(plain(effect, others=others), smallest=0.5, margin=margin).verdict == verdict


@pytest.mark.parametrize(
    ("direction", "effect", "verdict", "shown"),
    [
        ("up", 0.8, "supported", 0.8),
        ("up", -0.8, "refuted", -0.8),
        ("down", -0.8, "supported", 0.8),
        ("down", 0.8, "refuted", -0.8),
        ("changes", 0.8, "supported", 0.8),
        ("changes", -0.8, "supported", -0.8),
        ("changes", 0.1, "refuted", 0.1),
        ("changes", -0.5, "inconclusive", -0.5),
    ],
)
def test_the_effect_counts_in_the_direction_that_was_predicted(direction, effect, verdict, shown):
    found = one(plain(effect), direction=direction, smallest=0.5)
    assert found.verdict == verdict
    assert found.effect == pytest.approx(shown, abs=0.01) and found.low < shown < found.high


def test_either_direction_costs_twice_the_p():
    evidence = study(np.random.default_rng(0), sizes(12), 0.3, deviation=3)
    up, either = one(evidence, smallest=0.0), one(evidence, smallest=0.0, direction="changes")
    assert either.p == pytest.approx(2 * up.p) and either.low < up.low and either.high > up.high


def test_the_effect_is_over_the_mean_of_the_controls():
    edit = np.array([[6.0, 10.0], [12.0, 20.0]] * 5)
    controls = np.array([edit * [share, 1] for share in (0.5, 0.25)])
    found = one(Evidence(edit, controls), smallest=0.1)
    assert found.effect == pytest.approx(0.6 - (0.3 + 0.15) / 2) and found.clusters == 10


def test_the_p_is_of_the_weaker_claim_and_without_noise_of_2_to_the_clusters():
    strong = one(plain(0.8, g=10, others=0.1, spread=0), margin=0.2)
    assert strong.p == pytest.approx(2**-10) and strong.others_high == pytest.approx(0.1)
    weak = one(plain(0.8, g=10, others=0.2, spread=0), margin=0.2)
    assert weak.p == 1 and weak.verdict == "inconclusive"


def test_few_clusters_are_tested_but_given_no_interval():
    for g, verdict in ((4, "inconclusive"), (5, "supported"), (9, "supported"), (10, "supported")):
        found = one(plain(0.9, g=g, others=0.1), margin=0.2)
        assert found.verdict == verdict and found.clusters == g
        assert (found.low is None) == (found.others_high is None) == (g < 10), g
        assert (found.detectable is None) == (g < 5)


def test_clusters_without_a_unit_are_none():
    evidence = plain(0.9, g=12)
    bare = Evidence(
        np.vstack([evidence.edit_g2, np.zeros((5, 2))]),
        np.pad(evidence.controls_rg2, ((0, 0), (0, 5), (0, 0))),
    )
    assert one(bare) == one(evidence) and one(bare).clusters == 12


def test_what_was_not_measured_is_inconclusive_and_no_member_of_the_set():
    nothing = Evidence(np.zeros((12, 2)), np.zeros((3, 12, 2)), np.zeros((12, 2)))
    no_others = plain(0.9, others=0.1)._replace(others_g2=np.zeros((12, 2)))
    hypotheses = [hypothesis(str(i), margin=0.2) for i in range(4)]
    evidence = [None, nothing, no_others, plain(0.9, others=0.1)]
    *missing, good = judge(hypotheses, evidence, [OPEN] * 4)
    assert [(of.verdict, of.p, of.q) for of in missing] == [("inconclusive", None, None)] * 3
    assert [of.effect is None for of in missing] == [True, True, False]
    assert good.verdict == "supported" and good.q == good.p


def test_q_is_of_benjamini_and_hochberg_over_the_set_and_decides():
    rng = np.random.default_rng(2)
    evidence = [study(rng, sizes(12), effect, deviation=2) for effect in (0.9, 0.8, *[0.5] * 10)]
    found = judge([hypothesis(str(i)) for i in range(12)], evidence, [OPEN] * 12)
    np.testing.assert_allclose(
        [of.q for of in found], scipy.stats.false_discovery_control([of.p for of in found])
    )
    weak = plain(0.65, spread=0.3)
    alone, *_ = judge([hypothesis()], [weak], [OPEN])
    among, *_ = judge([hypothesis(str(i)) for i in range(11)], [weak, *evidence[2:]], [OPEN] * 11)
    assert 0.005 < alone.p == among.p <= 0.05 < among.q
    assert (alone.verdict, among.verdict) == ("supported", "inconclusive")


def test_a_row_is_flat_and_says_where_the_hypothesis_stands():
    standing = Standing("confirmatory", "registered before the sealed split was opened", 7)
    (found,) = judge([hypothesis()], [plain(0.9)], [standing])
    row = json.loads(json.dumps(found.row(), allow_nan=False))
    assert row["name"] == "stripes" and row["verdict"] == "supported" and row["others"] is None
    assert (row["kind"], row["reason"], row["registered"]) == standing
    assert not any(isinstance(value, (list, dict)) for value in row.values())
    assert row == judge([hypothesis()], [plain(0.9)], [standing])[0].row()


def test_evidence_that_is_no_evidence_for_the_claim_is_refused():
    evidence = plain(0.9)
    with pytest.raises(ValueError, match="stripes: has a margin for others, of which there is no evidence"):
        one(evidence, margin=0.2)
    with pytest.raises(ValueError, match="the edit and its controls are not of the same units"):
        one(evidence._replace(controls_rg2=evidence.controls_rg2 + 1))
