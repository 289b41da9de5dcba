"""Codes and concepts made by hand."""

import numpy as np
import scipy.sparse
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from saev.activations import Origin
from saev.features import Codes
from saev.probing import Concepts

ORIGIN = Origin("a model", "0123", "of some geometry", 1, ("patch",), "images")
PER_IMAGE = 4


def codes_of(dense_us: np.ndarray, per_image: int = PER_IMAGE) -> Codes:
    csr = scipy.sparse.csr_array(np.asarray(dense_us, np.float32))
    return Codes(csr, len(dense_us) // per_image, ORIGIN, "0123")


def concepts_of(
    truth_uc: np.ndarray,
    known: np.ndarray | None = None,
    names: tuple[str, ...] | None = None,
    per_image: int = PER_IMAGE,
) -> Concepts:
    """From what each unit shows of each concept: 1, 0, or -1 where nobody knows."""
    n, c = truth_uc.shape
    image = np.arange(n) // per_image
    known = np.ones(n, bool) if known is None else known
    names = names or tuple(f"concept {i}" for i in range(c))
    return Concepts(names, scipy.sparse.csr_array(np.asarray(truth_uc, np.int8)), known, image, image)


def classes_of(label_u: np.ndarray, n_classes: int, **options) -> Concepts:
    """Of units that show one class each, or nothing is known where the label is negative."""
    label_u = np.asarray(label_u)
    one_hot = label_u[:, None] == np.arange(n_classes)
    return concepts_of(one_hot, known=label_u >= 0, **options)


def random_codes(rng: np.random.Generator, n: int, s: int, density: float = 0.3) -> np.ndarray:
    """(n, s) dense codes, some of them exactly at a threshold."""
    fires = rng.random((n, s)) < density
    return np.where(fires, np.round(rng.exponential(0.7, (n, s)), 1), 0).astype(np.float32)


seeds = st.integers(0, 2**32 - 1)


def sklearn_f1(truth_ua: np.ndarray, yes_ua: np.ndarray) -> np.ndarray:
    """scikit-learn's F1 of every column, (a,)."""
    if not len(truth_ua):
        return np.zeros(truth_ua.shape[1])
    # A column more, of which there is nothing: of a single column it takes neither class for the positive.
    truth, yes = (np.pad(side.astype(int), ((0, 0), (0, 1))) for side in (truth_ua, yes_ua))
    return f1_score(truth, yes, average=None, zero_division=0)[:-1]
