"""Names of latents: planted ones are found, others are not, and chance is what shuffling gives."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.metrics import f1_score

from saev.activations import Origin
from saev.atlas import name_latents
from saev.atlas.naming import expected_f1, only
from saev.features import Codes
from saev.probing import Concepts, Splits

IMAGES, TOKENS, LATENTS = 40, 6, 30
PLANTED = 11


def origin(split: str) -> Origin:
    return Origin("vit", "w", "g", 1, ("patch",), split)


def made(split: str, seed: int) -> tuple[Codes, Concepts, np.ndarray]:
    """Two concepts that come and go image by image; latent PLANTED fires on the second, the others anywhere;
    the last is dead."""
    rng = np.random.default_rng(seed)
    shown_ic = rng.random((IMAGES, 2)) < 0.4
    truth_uc = np.repeat(shown_ic, TOKENS, 0) & (rng.random((IMAGES * TOKENS, 2)) < 0.8)
    codes_us = rng.random((IMAGES * TOKENS, LATENTS)) * (rng.random((IMAGES * TOKENS, LATENTS)) < 0.25)
    codes_us[:, PLANTED] = truth_uc[:, 1] & (rng.random(IMAGES * TOKENS) < 0.9)
    codes_us[:, -1] = 0
    image = np.repeat(np.arange(IMAGES), TOKENS)
    codes = Codes(scipy.sparse.csr_array(codes_us.astype(np.float32)), IMAGES, origin(split), "sae")
    known = np.ones(len(image), bool)
    asked = Concepts(("cat", "dog"), scipy.sparse.csr_array(truth_uc.astype(np.int8)), known, image, image)
    return codes, asked, codes_us


@pytest.fixture(scope="module")
def found():
    train, val = made("train", 0), made("val", 1)
    return name_latents(Splits(train[0], val[0], train[1], val[1]), times=99, seed=0), train, val


def test_a_planted_latent_is_named_with_an_interval_and_the_others_are_not(found):
    names, _, _ = found
    assert names.concepts[names.concept_s[PLANTED]] == "dog" and names.p_s[PLANTED] == 0.01
    assert names.low_s[PLANTED] < names.f1_s[PLANTED] < names.high_s[PLANTED]
    others = np.delete(np.arange(LATENTS), PLANTED)
    assert (names.p_s[others] > 0.05).sum() >= len(others) - 1
    assert np.isnan(names.low_s[names.p_s > 0.05]).all()


def test_the_concept_is_chosen_on_training_and_measured_on_validation(found):
    names, (_, asked, codes_us), (_, asked_val, val_us) = found
    for s in range(LATENTS - 1):
        yes = codes_us[:, s] > 0
        of_train = [f1_score(asked.truth[:, [c]].toarray().ravel(), yes) for c in (0, 1)]
        assert names.concept_s[s] == np.argmax(of_train)
        truth = asked_val.truth[:, [int(names.concept_s[s])]].toarray().ravel()
        assert names.f1_s[s] == pytest.approx(f1_score(truth, val_us[:, s] > 0))
    assert names.concept_s[-1] == -1  # dead


@pytest.mark.parametrize("known", ["all", "of some images"])
def test_chance_is_the_mean_over_exchanged_label_maps(known):
    codes, asked, codes_us = made("val", 2)
    if known != "all":
        asked = asked.within(asked.image % 4 != 0)
    images, rng = np.unique(asked.image[asked.known]), np.random.default_rng(0)
    truth_itc = asked.truth.toarray().reshape(IMAGES, TOKENS, 2)[images].astype(bool)
    yes_its = codes_us.reshape(IMAGES, TOKENS, LATENTS)[images] > 0
    mean_cs = np.zeros((2, LATENTS))
    for _ in range(2000):
        laid_itc = truth_itc[rng.permutation(len(images))]
        hits_cs = np.einsum("itc,its->cs", laid_itc.astype(float), yes_its.astype(float))
        mean_cs += 2 * hits_cs / (laid_itc.sum((0, 1))[:, None] + yes_its.sum((0, 1))) / 2000
    assert np.allclose(expected_f1(codes, asked), mean_cs, atol=0.01)


def test_only_some_concepts_are_asked_in_the_order_given():
    _, asked, _ = made("val", 3)
    part = only(asked, ["dog"])
    assert part.names == ("dog",) and (part.truth != asked.truth[:, [1]]).nnz == 0
