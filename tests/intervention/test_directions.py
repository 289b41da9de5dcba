"""Directions of concepts: of constructed Gaussians, by closed form, and by scikit-learn."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saev.data.sample import IGNORE
from saev.intervention.directions import DIRECTIONS, Directions, drawn
from saev.probing import Concepts, classes_of_images
from tests.intervention.examples import all_tokens, directions_of

D = 12


def gaussians(n=6000, seed=0, prevalence=0.4):
    """Two Gaussians with the same covariance, of very different scales; between them `apart` (d,)."""
    rng = np.random.default_rng(seed)
    deviation, apart = np.geomspace(0.2, 5, D), rng.standard_normal(D)
    shown = rng.random(n) < prevalence
    x_nd = rng.standard_normal((n, D)) * deviation + np.outer(shown, apart) + 3
    return x_nd.astype(np.float32), shown, apart, deviation


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_directions_of_gaussians_are_those_of_the_best_classifier():
    """The difference of means is what lies between them; probe and SVM weigh it by the inverse covariance,
    as Fisher's discriminant."""
    x_nd, shown, apart, deviation = gaussians()
    found = {name: fit(x_nd, shown, 0) for name, fit in DIRECTIONS.items()}
    assert cosine(found["difference of means"], apart) > 0.98
    for name in ("probe direction", "svm direction"):
        assert cosine(found[name], apart / deviation**2) > 0.98
        assert cosine(found[name], apart) < 0.5


def test_the_mean_of_a_class_minus_that_of_all_is_the_difference_of_means():
    """So it needs no row of its own, however frequent the class is."""
    for prevalence in (0.02, 0.7):
        x_nd, shown, *_ = gaussians(prevalence=prevalence)
        from_all = x_nd[shown].mean(0, dtype=float) - x_nd.mean(0, dtype=float)
        difference = DIRECTIONS["difference of means"](x_nd, shown, 0)
        np.testing.assert_allclose(from_all, (1 - shown.mean()) * difference, atol=1e-5)


def test_the_probe_is_that_of_scikit_learn_along_its_own_gradient():
    x_nd, shown, *_ = gaussians(n=1500)
    x_nd = x_nd.astype(float)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=10_000, tol=1e-8))
    model.fit(x_nd, shown)
    at, step = x_nd[7], 1e-3  # the logit is linear, so its differences are its gradient
    logits = model.decision_function(np.concatenate([[at], at + step * np.eye(D)]))
    expected = (logits[1:] - logits[0]) / step
    found = DIRECTIONS["probe direction"](x_nd, shown, 0)
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-3 * np.abs(expected).max())


def concepts_of(shown_u, known_u=None):
    n = len(shown_u)
    known_u = np.ones(n, bool) if known_u is None else known_u
    truth = scipy.sparse.csr_array(np.asarray(shown_u)[:, None].astype(np.int8))
    return Concepts(("it",), truth, known_u, np.arange(n), np.arange(n))


@given(n=st.integers(2, 80), share=st.floats(0, 1), most=st.integers(1, 60), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_half_of_the_tokens_show_the_concept_where_there_are_so_many(n, share, most, seed):
    rng = np.random.default_rng(seed)
    shown_u, known_u = rng.random(n) < share, rng.random(n) < 0.8
    units, shown = drawn(concepts_of(shown_u, known_u), 0, most, seed)
    assert len(set(units)) == len(units) == min(most, known_u.sum()) and (np.diff(units) > 0).all()
    np.testing.assert_array_equal(shown, shown_u[units])
    assert known_u[units].all()
    yes, no = (shown_u & known_u).sum(), (~shown_u & known_u).sum()
    assert abs(shown.sum() - most / 2) <= 0.5 or shown.sum() == yes or (~shown).sum() == no


def test_directions_of_the_classes_of_recorded_tokens(stores, setup):
    tokens = stores["train"].tokens(1)
    directions, x_nd = directions_of(tokens, setup.train), all_tokens(tokens).flatten(0, 1).numpy()
    labels = tokens.labels().ravel()
    c = int(np.bincount(labels[labels != IGNORE]).argmax())
    name, known = stores["train"].classes[c], labels != IGNORE
    x_nd, shown = x_nd[known].astype(float), labels[known] == c  # fewer than are drawn: all of them
    expected = x_nd[shown].mean(0) - x_nd[~shown].mean(0)
    found = directions.of("difference of means", name)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)
    for kind in DIRECTIONS:
        direction = directions.of(kind, name)
        assert direction.dtype == torch.float32 and direction.norm().item() == pytest.approx(1)
        assert torch.equal(direction, directions_of(tokens, setup.train).of(kind, name))
        assert cosine(direction.numpy(), expected) > 0


def test_directions_of_concepts_of_whole_images_are_of_their_mean_tokens(stores, setup):
    tokens, asked = stores["train"].tokens(1), classes_of_images(stores["train"])
    directions = Directions((setup.train.pooled("max"), asked, tokens), 0)
    labels = stores["train"].image_labels()
    c = int(np.bincount(labels).argmax())
    means = all_tokens(tokens).mean(1).numpy()
    expected = means[labels == c].mean(0) - means[labels != c].mean(0)
    found = directions.of("difference of means", stores["train"].classes[c])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("shown", [False, True])
def test_a_concept_that_all_tokens_show_or_none_has_no_direction(stores, setup, shown):
    tokens = stores["train"].tokens(1)
    asked = concepts_of(np.full(tokens.n_images * tokens.per_image, shown))
    assert Directions((setup.train, asked, tokens), 0).of("probe direction", "it") is None
