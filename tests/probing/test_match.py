"""Chosen latents: planted ones are found, and measured on validation as scikit-learn measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score, f1_score

from saev.probing import Splits, match_concepts
from saev.probing.f1 import THRESHOLDS
from tests.probing.examples import classes_of, codes_of, concepts_of, random_codes, seeds, sklearn_f1

NAMES = ("a", "b", "c", "absent")


def planted(seed, n, noise):
    """Class c makes latent 10 + c fire at 2, all else fires at random; each seventh unit is unlabelled."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    dense = random_codes(rng, n, 30, 0.1)
    dense[:, 10:13] = 2.0 * ((labels[:, None] == np.arange(3)) ^ (rng.random((n, 3)) < noise))
    labels[::7] = -1
    return dense, labels


def matched(train, val, n_classes=4, names=NAMES):
    """Match (dense codes, labels) of the two splits."""
    codes, concepts = zip(
        *((codes_of(dense), classes_of(labels, n_classes, names=names)) for dense, labels in (train, val)),
        strict=True,
    )
    return match_concepts(Splits(*codes, *concepts), times=99)


def test_planted_latents_are_found_and_measured_on_validation():
    train, val = planted(0, 640, 0.05), planted(1, 480, 0.2)
    matches = matched(train, val)
    assert [match.name for match in matches] == ["a", "b", "c"]
    dense, labels = val
    known = labels >= 0
    for c, match in enumerate(matches):
        code, truth, scores = dense[known, 10 + c], labels[known] == c, match.scores
        assert match.latent == 10 + c and match.threshold in THRESHOLDS
        assert scores["f1"] == pytest.approx(f1_score(truth, code > match.threshold))
        assert scores["ap"] == pytest.approx(average_precision_score(truth, code))
        assert scores["prevalence"] == pytest.approx(truth.mean())
        assert scores["f1_train"] > scores["f1"] > scores["null_f1_95"] > scores["null_f1"]
        assert scores["rank"] == pytest.approx(1 / 30)  # no other live latent does as well
        assert scores["units"] == truth.sum()
        assert scores["images"] == len({unit // 4 for unit in np.flatnonzero(labels == c)})
        assert match.row() == {"name": "abc"[c], "latent": 10 + c, "threshold": match.threshold, **scores}


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_choice_and_null_are_those_of_all_latents(seed):
    """Each latent at its best training threshold, by scikit-learn; the dead of training take no part."""
    rng = np.random.default_rng(seed)
    (train, y_train), (val, y_val) = ((random_codes(rng, 60, 8), rng.integers(0, 2, 60)) for _ in range(2))
    train[:, 5] = 0
    live = np.flatnonzero(train.max(0))
    for c, match in enumerate(matched((train, y_train), (val, y_val), n_classes=2, names=("a", "b"))):
        on_train, on_val = (
            np.stack(
                [
                    sklearn_f1(np.tile(y == c, (len(live), 1)).T, dense[:, live] > np.float32(t))
                    for t in THRESHOLDS
                ]
            )
            for dense, y in ((train, y_train), (val, y_val))
        )
        best = on_train.argmax(0)
        f1_train, f1_val = (table[best, np.arange(len(live))] for table in (on_train, on_val))
        chosen = f1_train.argmax()
        assert (match.latent, match.threshold) == (live[chosen], THRESHOLDS[best[chosen]])
        expected = {
            "f1_train": f1_train[chosen],
            "f1": f1_val[chosen],
            "null_f1": f1_val.mean(),
            "null_f1_95": np.quantile(f1_val, 0.95),
            "rank": (f1_val >= f1_val[chosen]).mean(),
        }
        assert {name: match.scores[name] for name in expected} == pytest.approx(expected)


def test_latents_unrelated_to_the_labels_are_not_significant():
    rng = np.random.default_rng(2)
    splits = [(random_codes(rng, 3200, 200, 0.1), rng.integers(0, 2, 3200)) for _ in range(2)]
    matches = matched(*splits, n_classes=2, names=("a", "b"))
    assert min(match.scores["rank"] for match in matches) > 1 / 200


def test_a_class_that_one_split_lacks_is_left_out():
    train, val = planted(0, 640, 0.05), planted(1, 480, 0.05)
    for lacking in (train, val):
        dense, labels = lacking
        splits = [
            (dense, np.where(labels == 1, 0, labels)) if split is lacking else split for split in (train, val)
        ]
        assert [match.name for match in matched(*splits)] == ["a", "c"]


def test_without_a_live_latent_there_is_nothing_to_choose():
    train, val = planted(0, 160, 0.05), planted(1, 160, 0.05)
    assert matched((0 * train[0], train[1]), val) == []


def test_one_live_latent_is_chosen_for_every_class():
    """Also for one that it never fires on: a dead latent stands for nothing."""
    train, val = planted(0, 160, 0.0), planted(1, 160, 0.0)
    alone = np.arange(30) == 11
    for match in matched((train[0] * alone, train[1]), (val[0] * alone, val[1])):
        assert match.latent == 11 and match.scores["rank"] == 1
        assert match.scores["f1"] == (1 if match.name == "b" else 0) == match.scores["null_f1"]


def test_one_class():
    dense, labels = planted(0, 160, 0.05)
    matches = matched((dense, np.minimum(labels, 0)), (dense, np.minimum(labels, 0)), 1, ("a",))
    assert [match.name for match in matches] == ["a"]
    assert matches[0].scores["prevalence"] == matches[0].scores["ap"] == 1


def test_unknown_units_of_a_concept_do_not_count():
    """A concept that is known of half the units is measured on those alone."""
    rng = np.random.default_rng(5)
    dense, labels = planted(3, 160, 0.1)
    truth = (labels[:, None] == np.arange(3)).astype(int)
    unknown = rng.random(truth.shape) < 0.5
    asked = concepts_of(np.where(unknown, -1, truth), known=labels >= 0, names=("a", "b", "c"))
    for c, match in enumerate(match_concepts(Splits(codes_of(dense), codes_of(dense), asked, asked))):
        there = (labels >= 0) & ~unknown[:, c]
        assert match.scores["f1"] == pytest.approx(
            f1_score(labels[there] == c, dense[there, match.latent] > match.threshold)
        )
        assert match.scores["prevalence"] == pytest.approx((labels[there] == c).mean())


def test_only_latents_among_those_allowed_are_chosen():
    dense, labels = planted(0, 640, 0.05)
    codes, asked = codes_of(dense), classes_of(labels, 4, names=NAMES)
    splits = Splits(codes, codes, asked, asked)
    usual = {match.name: match.latent for match in match_concepts(splits, (), times=0)}
    assert usual == {"a": 10, "b": 11, "c": 12}
    among = np.arange(30) != usual["b"]
    rest = {match.name: match.latent for match in match_concepts(splits, (), times=0, among=among)}
    assert rest == usual | {"b": rest["b"]} and rest["b"] != usual["b"]
    assert match_concepts(splits, (), times=0, among=~among)[1].latent == usual["b"]
    assert match_concepts(splits, (), times=0, among=np.zeros(30, bool)) == []
