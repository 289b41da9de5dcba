"""Coalitions against all unions by masks, planted ones, and who may judge them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.errors import SaevError
from saev.probing import Splits, difference, match_concepts, mean_f1
from saev.probing.coalition import coalitions
from saev.probing.f1 import THRESHOLDS
from saev.probing.folds import folds
from tests.probing.examples import classes_of, codes_of, concepts_of, random_codes, seeds, sklearn_f1

CLUSTERS = tuple(map(str, range(12)))


def halves(n=480, noise=20):
    """Codes of which latent 0 fires on the first half of the concept, latent 1 on the second, and all else
    anywhere; every other unit shows the concept."""
    rng = np.random.default_rng(0)
    shown = np.arange(n) % 2 == 0
    dense = np.pad(random_codes(rng, n, noise, 0.1), ((0, 0), (2, 0)))
    first = np.arange(n) % 4 == 0
    dense[:, 0], dense[:, 1] = 2.0 * first, 2.0 * (shown & ~first)
    return codes_of(dense), concepts_of(shown[:, None], names=("whole",))


def alike(codes, asked):
    return Splits(codes, codes, asked, asked)


def test_two_halves_make_a_whole():
    (found,) = coalitions(alike(*halves()))
    assert found.name == "whole" and [latent for latent, _ in found.members] == [0, 1]
    assert found.f1_train == found.f1 == pytest.approx((2 / 3, 1))
    assert found.gain.value == pytest.approx(1 / 3) and found.gain.low > 0.3
    assert found.sums_gm.sum(0).tolist() == [480, 480]
    (alone,) = coalitions(alike(*halves()), size=1)
    assert alone.f1 == pytest.approx((2 / 3,)) and alone.members == found.members[:1]
    assert alone.gain[:3] == (0, 0, 0)


def test_noise_is_refused():
    """Its precision is the prevalence, here below half the F1 of the planted latent."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 3200)
    dense = random_codes(rng, 3200, 60, 0.1)
    dense[:, 30] = 2.0 * ((labels == 0) ^ (rng.random(3200) < 0.05))
    (found,) = coalitions(alike(codes_of(dense), concepts_of((labels == 0)[:, None])))
    assert [latent for latent, _ in found.members] == [30] and found.gain.value == 0


def known_of(asked, c):
    units, _ = asked.of(c)
    return np.isin(np.arange(len(asked.known)), units)


def grown(dense, asked, c, mine, candidates):
    """At most four members, and the F1 of the growing unions, each over all (latent, threshold) by masks; at
    first of all latents, to see which are candidates."""
    there = mine & known_of(asked, c)
    truth = asked.truth[:, [c]].toarray().ravel()[there] > 0

    def f1_of(yes_ua):
        return 2 * (yes_ua & truth[:, None]).sum(0) / (yes_ua.sum(0) + truth.sum())

    def at(s):
        return dense[there, s, None] > np.float32(THRESHOLDS)

    alone_s = np.array([f1_of(at(s)).max() for s in range(dense.shape[1])])
    latents = np.sort(np.argsort(-alone_s, kind="stable")[:candidates])
    every, yes_ua = [(s, t) for s in latents for t in THRESHOLDS], np.concatenate([*map(at, latents)], 1)
    union, members, reached = np.zeros(len(truth), bool), [], []
    while len(members) < 4:
        f1_a = f1_of(union[:, None] | yes_ua)
        best = f1_a.argmax()
        if reached and f1_a[best] <= reached[-1]:
            break
        union |= yes_ua[:, best]
        members.append(every[best])
        reached.append(f1_a[best])
    return tuple(members), reached


def clustered(rng, n, shared):
    """Units of two concepts, some unknown, of clusters that other such units share, or not."""
    truth = rng.choice([1, 0, -1], (n, 2), p=[0.3, 0.6, 0.1])
    asked = concepts_of(truth, known=rng.random(n) < 0.9)
    return replace(asked, cluster=rng.integers(0, 12, n), clusters=CLUSTERS) if shared else asked


@given(seeds, st.booleans(), st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_coalitions_are_those_of_all_unions(seed, shared, candidates):
    """In each fold by the other clusters, on the units of which each concept is known."""
    rng = np.random.default_rng(seed)
    (train, asked_train), (val, asked_val) = (
        (random_codes(rng, 120, 6), clustered(rng, 120, shared)) for _ in range(2)
    )
    parts = folds(asked_train, asked_val)
    assert parts.n == (4 if shared else 1)
    splits = Splits(codes_of(train), codes_of(val), asked_train, asked_val)
    for c, found in enumerate(coalitions(splits, candidates=candidates)):
        members, reached = grown(train, asked_train, c, asked_train.known, candidates)
        assert found.members == members and found.f1_train == pytest.approx(reached)
        of_folds = [grown(train, asked_train, c, parts.train_u != f, candidates)[0] for f in range(parts.n)]
        there = known_of(asked_val, c)
        truth = asked_val.truth[:, [c]].toarray()[there] > 0
        assert len(found.f1) == max(map(len, of_folds))
        for j, value in enumerate(found.f1):
            yes = np.zeros(120, bool)
            for f, chosen in enumerate(of_folds):
                for s, t in chosen[: j + 1]:
                    yes |= (parts.val_u == f) & (val[:, s] > np.float32(t))
            assert value == pytest.approx(sklearn_f1(truth, yes[there, None])[0])


@pytest.mark.parametrize("shared", [False, True])
def test_the_first_member_is_the_match_and_the_gain_their_difference(shared):
    rng = np.random.default_rng(2)
    train, val = ((codes_of(random_codes(rng, 240, 9)), clustered(rng, 240, shared)) for _ in range(2))
    splits = Splits(train[0], val[0], train[1], val[1])
    found, matches = coalitions(splits, candidates=3), match_concepts(splits, (), times=0)
    assert [coalition.name for coalition in found] == [match.name for match in matches]
    for coalition, match in zip(found, matches, strict=True):
        assert coalition.members[0] == (match.latent, match.threshold)
        assert coalition.f1[0] == match.scores["f1"] and coalition.f1_train[0] == match.scores["f1_train"]
        assert len({latent for latent, _ in coalition.members}) <= 3
        assert mean_f1([coalition]).value == coalition.f1[-1]
        np.testing.assert_allclose(coalition.gain[:3], difference([coalition], [match])[:3], atol=1e-9)


def test_a_coalition_of_photographs_is_none_of_the_concept():
    """Each latent knows the concept in one cluster: together perfect within them, nothing across."""
    rng = np.random.default_rng(3)
    cluster, truth = np.repeat(np.arange(12), 40), rng.integers(0, 2, 480)
    codes = codes_of(2.0 * ((cluster[:, None] == np.arange(12)) & (truth[:, None] > 0)))
    asked = replace(concepts_of(truth[:, None]), cluster=cluster, clusters=CLUSTERS)
    (found,) = coalitions(alike(codes, asked), size=12)
    assert found.f1_train[-1] == 1 and set(found.f1) == {0} and found.gain.value == 0
    (own,) = coalitions(alike(codes, replace(asked, clusters=())), size=12)
    assert own.f1[-1] == 1


def test_what_cannot_be_judged_is_left_out():
    codes, asked = halves()
    assert coalitions(alike(codes_of(np.zeros((480, 3))), asked)) == []
    several = classes_of(np.arange(480) % 2, 3)
    assert [found.name for found in coalitions(alike(codes, several))] == ["concept 0", "concept 1"]


@pytest.mark.parametrize("option", ["size", "candidates"])
def test_there_is_one_at_least(option):
    with pytest.raises(SaevError, match=f"{option} must be an integer >= 1, got 0"):
        coalitions(alike(*halves()), **{option: 0})
