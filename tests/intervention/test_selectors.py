"""Selectors: planted latents, and the measures that each goes by."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.metrics import average_precision_score

from saev.activations import Origin
from saev.errors import SaevError
from saev.features import Codes
from saev.intervention import SELECTORS, Known, Selected
from saev.intervention.selectors import strongest_on
from saev.probing import Concepts, Splits, coalitions, match_concepts, sparse_probes

IMAGES, PER, S = 60, 8, 12
NAMES = ("red", "round")


def planted(seed):
    """Red: latent 3 fires on all of it and some other units, 4 on half of it and nothing else, 5 everywhere
    but there. Round: 7 and 8 each on a half. The rest is noise, and 11 dead."""
    rng = np.random.default_rng(seed)
    units = IMAGES * PER
    red, round_ = rng.random(units) < 0.25, rng.random(units) < 0.2
    f_us = rng.random((units, S)) * (rng.random((units, S)) < 0.15)
    half = rng.random(units) < 0.5
    f_us[:, 3] = (red | (rng.random(units) < 0.1)) * rng.uniform(0.5, 1, units)
    f_us[:, 4] = (red & half) * rng.uniform(2, 4, units)
    f_us[:, 5] = ~red * rng.uniform(1, 2, units)
    f_us[:, 7], f_us[:, 8] = (round_ & half) * 1.5, (round_ & ~half) * 1.2
    f_us[:, 11] = 0
    codes = Codes(
        scipy.sparse.csr_array(f_us.astype(np.float32)),
        IMAGES,
        Origin("m", "0", "g", 1, ("patch",), "i"),
        "0",
    )
    truth = scipy.sparse.csr_array(np.stack([red, round_], 1).astype(np.int8))
    image = np.repeat(np.arange(IMAGES), PER)
    return codes, Concepts(NAMES, truth, np.ones(units, bool), image, image)


@pytest.fixture(scope="module")
def known() -> Known:
    (train, asked_train), (val, asked_val) = planted(0), planted(1)
    splits = Splits(train, val, asked_train, asked_val)
    matches = {match.name: match.latent for match in match_concepts(splits, (), times=0)}
    scores = {"red": np.array([0, -5, 2, 7.0, 9, *np.zeros(6), 1]), "round": None}
    return Known(matches, splits, scores.get, listed={"red": (1, 2)}, size=3)


def selected(known, name):
    found = SELECTORS[name](known)
    assert all(isinstance(one, Selected) and isinstance(one.latents, tuple) for one in found)
    assert all(type(latent) is int for one in found for latent in one.latents)
    return dict(found)


def test_the_best_by_f1_is_the_match(known):
    assert selected(known, "best f1") == {name: (s,) for name, s in known.matches.items()}
    assert known.matches["red"] == 3


def test_the_best_by_average_precision_is_scikit_learns(known):
    dense, truth = known.splits.train.csr.toarray(), known.splits.asked_train.truth.toarray() > 0
    best = {
        name: (int(np.argmax([average_precision_score(truth[:, c], dense[:, s]) for s in range(S)])),)
        for c, name in enumerate(NAMES)
    }
    assert selected(known, "best ap") == best


def test_the_k_sparse_set_is_the_probes_without_those_that_speak_against(known):
    probes = sparse_probes(known.splits, (known.size,), seed=0)
    found = selected(known, "k-sparse")
    for probe in probes:
        read = probe.latents_fk[0].tolist()  # one fold: the splits share no cluster, or all of training
        assert set(found[probe.name]) <= set(read)
    assert 5 in probes[0].latents_fk[0] and found["red"] == (3, 4)
    assert set(found["round"]) >= {7, 8}


def test_the_coalition_is_that_of_probing(known):
    grown = {one.name: tuple(s for s, _ in one.members) for one in coalitions(known.splits, 3)}
    assert selected(known, "coalition") == grown
    assert set(grown["round"]) == {7, 8}


def test_attribution_takes_the_largest_that_add_to_the_logit(known):
    assert selected(known, "attribution") == {"red": (4, 3, 2)}  # and round is shown by no image


def test_the_strongest_have_the_largest_mean_code_on_the_units_minus_elsewhere(known):
    dense, truth = known.splits.train.csr.toarray(), known.splits.asked_train.truth.toarray() > 0
    for c, (name, latents) in enumerate(selected(known, "strongest").items()):
        gap = dense[truth[:, c]].mean(0) - dense[~truth[:, c]].mean(0)
        expected = [s for s in np.argsort(-gap)[:3].tolist() if gap[s] > 0]
        assert name == NAMES[c] and list(latents) == expected
    codes = known.splits.train
    here, elsewhere = np.array([5, 17]), np.arange(100, 300)  # of chosen patches
    gap = dense[here].mean(0) - dense[elsewhere].mean(0)
    assert strongest_on(codes, here, elsewhere, 1) == (int(gap.argmax()),)
    assert strongest_on(codes, here, here, 5) == ()


def test_what_is_listed_is_what_is_given(known):
    assert selected(known, "listed") == {"red": (1, 2)}


def test_only_training_data_choose(known):
    """Validation in which every latent means something else changes nothing."""
    codes, asked = planted(7)
    turned = known.splits._replace(
        val=Codes(codes.csr[:, ::-1].tocsr(), IMAGES, codes.origin, "0"), asked_val=asked
    )
    for name in SELECTORS:
        assert selected(known, name) == selected(known._replace(splits=turned), name)


@pytest.mark.parametrize("name", ["best ap", "k-sparse", "coalition", "strongest", "attribution"])
def test_tells_what_a_selector_lacks(name):
    part = "attributed" if name == "attribution" else "splits"
    with pytest.raises(SaevError, match=f"Known has no {part}"):
        SELECTORS[name](Known({"red": 3}))
