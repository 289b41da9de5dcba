"""How often verdicts are right, over hundreds of studies of which the truth is known."""

import numpy as np
import pytest

from saev.hypotheses import judge
from saev.hypotheses.verdict import LEVEL, POWER
from tests.hypotheses.examples import OPEN, hypothesis, sizes, study

STUDIES = 400
SMALLEST, MARGIN = 0.2, 0.1
CLUSTERS = pytest.mark.parametrize("g", [8, 12, 30])


@pytest.fixture
def quick(monkeypatch):
    """Without the power of each study, which no verdict depends on and which takes most of the time."""
    monkeypatch.setattr("saev.hypotheses.verdict.detectable", lambda *_, **__: None)


def shares(seed, g, effect, *, deviation=2.0, others=None, studies=STUDIES, **changes):
    """How many of the studies are called what."""
    rng, of = np.random.default_rng(seed), hypothesis(**changes)
    told = [
        judge([of], [study(rng, sizes(g), effect, others=others, deviation=deviation)], [OPEN])[0].verdict
        for _ in range(studies)
    ]
    return {verdict: told.count(verdict) / studies for verdict in ("supported", "refuted", "inconclusive")}


def above(share, n=STUDIES):
    """What a share is below with 99.5 % if it is right."""
    return share + 2.6 * np.sqrt(share * (1 - share) / n)


@CLUSTERS
@pytest.mark.parametrize("smallest", [0.0, SMALLEST])
def test_a_planted_null_is_called_supported_or_refuted_at_most_as_often_as_said(quick, g, smallest):
    told = shares([g, 1, smallest > 0], g, smallest, smallest=smallest)
    # And about that often: the test does not hold its level by being blind.
    assert 0.015 < told["supported"] < above(LEVEL)
    assert 0.015 < told["refuted"] < above(LEVEL)


@CLUSTERS
def test_so_is_one_that_goes_either_way(quick, g):
    assert 0.015 < shares(g + 50, g, 0.0, smallest=0.0, direction="changes")["supported"] < above(LEVEL)
    # Of an effect as small as was said, the other direction gives no second chance.
    assert shares(g, g, -SMALLEST, smallest=SMALLEST, direction="changes")["supported"] < above(LEVEL / 2)


@CLUSTERS
def test_others_that_change_by_the_margin_are_called_unaffected_at_most_as_often_as_said(quick, g):
    told = shares(g + 1, g, 3.0, others=MARGIN, smallest=SMALLEST, margin=MARGIN)
    assert 0.015 < told["supported"] < above(LEVEL)
    assert 0.015 < told["refuted"] < above(LEVEL)
    less = shares(g + 1, g, 3.0, others=MARGIN / 3, smallest=SMALLEST, margin=MARGIN)
    assert less["supported"] == 1


@CLUSTERS
def test_two_nulls_at_once_are_called_supported_far_less(quick, g):
    told = shares(g + 2, g, SMALLEST, others=MARGIN, smallest=SMALLEST, margin=MARGIN)
    assert told["supported"] < above(LEVEL**2)


@CLUSTERS
def test_a_planted_effect_is_found_at_the_declared_power(g, monkeypatch):
    rng = np.random.default_rng(g)
    of = hypothesis(smallest=SMALLEST)
    told = [judge([of], [study(rng, sizes(g), 0.0, deviation=2.0)], [OPEN])[0].detectable for _ in range(25)]
    monkeypatch.setattr("saev.hypotheses.verdict.detectable", lambda *_, **__: None)
    planted = float(np.median(told))
    found = shares(g + 3, g, planted, smallest=SMALLEST)["supported"]
    assert planted > SMALLEST and found > POWER - 2.6 * np.sqrt(POWER * (1 - POWER) / STUDIES)
    # It is no more than it has to be: a little more than half of it is not enough.
    half = SMALLEST + (planted - SMALLEST) * 0.6
    assert shares(g + 4, g, half, smallest=SMALLEST)["supported"] < POWER


@CLUSTERS
def test_a_false_claim_is_refuted_once_it_is_as_far_off(quick, g):
    far = {8: 0.75, 12: 0.6, 30: 0.35}[g]
    assert shares(g + 5, g, SMALLEST - far, smallest=SMALLEST)["refuted"] > 0.8


def test_of_twenty_nulls_none_is_called_supported_in_all_but_few_sets(quick):
    rng = np.random.default_rng(7)
    hypotheses = [hypothesis(str(i), smallest=SMALLEST) for i in range(20)]
    any_found = []
    for _ in range(200):
        evidence = [study(rng, sizes(9), SMALLEST, deviation=2.0) for _ in hypotheses]
        told = judge(hypotheses, evidence, [OPEN] * 20)
        any_found.append(any(of.verdict == "supported" for of in told))
    assert np.mean(any_found) < above(LEVEL, 200)


def test_among_true_ones_few_of_those_called_supported_are_false(quick):
    rng = np.random.default_rng(8)
    hypotheses = [hypothesis(str(i), smallest=SMALLEST) for i in range(20)]
    false, found = [], 0
    for _ in range(100):
        evidence = [study(rng, sizes(9), 1.2 if i < 8 else SMALLEST, deviation=2.0) for i in range(20)]
        called = [
            i for i, of in enumerate(judge(hypotheses, evidence, [OPEN] * 20)) if of.verdict == "supported"
        ]
        found += sum(i < 8 for i in called)
        false.append(np.mean([i >= 8 for i in called]) if called else 0.0)
    assert np.mean(false) < LEVEL + 2.6 * np.std(false) / 10 and found > 0.8 * 8 * 100
