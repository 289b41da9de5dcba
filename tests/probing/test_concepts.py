"""What is asked of tokens and of images, against loops over the labels."""

import numpy as np
import pytest
import scipy.sparse

from saev.data import IGNORE
from saev.probing import Concepts, classes_of_images, classes_of_tokens
from tests.activations.examples import MISSING, SPANS, Damaged, make


@pytest.fixture(scope="module")
def store(registers, tmp_path_factory):
    """20 scenes with every kind of token, without the images MISSING."""
    images = Damaged(MISSING, split="train", n=20, size=84)
    return make(registers, tmp_path_factory.mktemp("acts"), images, corrupt="missing", tokens=list(SPANS))


def check(concepts, labels_it, classes, ignored):
    """`concepts` are the classes that `labels_it` names, nothing known of the ignored ones."""
    labels, (n, t) = labels_it.ravel(), labels_it.shape
    known = [label != IGNORE and label not in ignored for label in labels]
    assert concepts.names == classes
    assert concepts.known.tolist() == known
    truth = [[k and label == c for c in range(len(classes))] for label, k in zip(labels, known, strict=True)]
    np.testing.assert_array_equal(concepts.truth.toarray(), truth)
    np.testing.assert_array_equal(concepts.image, np.arange(n * t) // t)
    np.testing.assert_array_equal(concepts.cluster, concepts.image)
    assert concepts.single.tolist() == [label if k else -1 for label, k in zip(labels, known, strict=True)]
    for c in range(len(classes)):
        units, shown = concepts.of(c)
        np.testing.assert_array_equal(units, np.flatnonzero(known))
        np.testing.assert_array_equal(shown, labels[known] == c)


@pytest.mark.parametrize("kinds", [("patch",), ("cls",), ("register", "patch"), tuple(SPANS)])
@pytest.mark.parametrize("ignored", [(), (3, 11)])
def test_classes_of_tokens_are_the_patchs_own_or_the_images(store, kinds, ignored):
    labels = np.repeat(store.image_labels()[:, None], 30, axis=1)
    labels[:, 5:29] = store.patch_labels()
    columns = np.concatenate([np.arange(*SPANS[kind]) for kind in kinds])
    check(classes_of_tokens(store.tokens(1, kinds), ignored), labels[:, columns], store.classes, ignored)


@pytest.mark.parametrize("ignored", [(), (3, 11)])
def test_classes_of_images(store, ignored):
    concepts = classes_of_images(store, ignored)
    check(concepts, store.image_labels()[:, None], store.classes, ignored)
    assert not concepts.known[list(MISSING)].any()


def test_attributes_overlap_and_some_are_unknown():
    """A unit may show several concepts, and of each it may be unknown whether it does."""
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, -1], [-1, 1, 0], [1, 0, 0]], np.int8)
    known, image = np.array([True, True, True, True, False]), np.arange(5)
    concepts = Concepts(("a", "b", "c"), scipy.sparse.csr_array(truth), known, image, image)
    assert [concepts.of(c)[0].tolist() for c in range(3)] == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 3]]
    assert [concepts.of(c)[1].tolist() for c in range(3)] == [
        [True, True, False],
        [False, True, False, True],
        [False, False, False],
    ]
    assert concepts.single.tolist() == [0, -1, -1, 1, -1]
