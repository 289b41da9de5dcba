"""What is asked: which units show which concepts."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse

from saev.activations import Store, Tokens
from saev.data.sample import IGNORE, NO_CLUSTER


@dataclass(frozen=True)
class Concepts:
    """Labelled properties of units: of the tokens of every image of a split, or of its whole images."""

    names: tuple[str, ...]
    truth: scipy.sparse.csr_array
    """(units, c) int8: 1 where the unit shows the concept, -1 where nobody knows, else 0."""
    known: np.ndarray
    """(units,) bool: false where nothing is known of the unit, which then counts in no statistic."""
    image: np.ndarray
    """(units,) the image of each unit."""
    cluster: np.ndarray
    """(units,) the independent thing that it comes from, which a bootstrap resamples."""
    clusters: tuple[str, ...] = ()
    """Names of the clusters; () where each image is one, unrelated to those of other splits."""

    def of(self, c: int) -> tuple[np.ndarray, np.ndarray]:
        """(units of which concept c is known (m,), whether they show it (m,) bool)."""
        column = self.truth[:, [c]].toarray().ravel()
        units = np.flatnonzero(self.known & (column >= 0))
        return units, column[units] > 0

    @cached_property
    def single(self) -> np.ndarray:
        """(units,) the one concept that each unit shows, -1 where it shows none or several, or nothing is
        known."""
        shown = self.truth > 0
        one = self.known & (np.diff(shown.indptr) == 1)
        answer = np.full(len(self.known), -1)
        answer[one] = shown.indices[shown.indptr[:-1][one]]
        return answer

    @cached_property
    def judged(self) -> np.ndarray:
        """(g,) the clusters of which anything is known."""
        return np.unique(self.cluster[self.known])

    def within(self, units: np.ndarray) -> "Concepts":
        """The same, of which only these (units,) bool are known."""
        return replace(self, known=self.known & units)


def classes_of_tokens(tokens: Tokens, ignored: tuple[int, ...] = ()) -> Concepts:
    """The classes of the tokens: of a patch that of its pixels, of any other token that of its image."""
    return _exclusive(tokens.labels(), tokens.store, ignored)


def classes_of_images(store: Store, ignored: tuple[int, ...] = ()) -> Concepts:
    """The classes of whole images."""
    return _exclusive(store.image_labels()[:, None], store, ignored)


def described(store: Store, tokens: Tokens | None = None) -> Concepts | None:
    """The concepts that the source of the images describes: of their patches, which `tokens` are, or of whole
    images; None if it describes none of these units.

    A unit is known where it is of a cluster and something is known of it.
    """
    whole, names = store.attrs["described"] == "images", tuple(store.attrs["concepts"])
    if not names or (not whole and (tokens is None or tokens.grid is None)):
        return None
    truth_uc = store.concepts().reshape(-1, len(names))
    cluster = store.cluster().ravel()
    known = (truth_uc >= 0).any(1) & (cluster != NO_CLUSTER)
    image = np.arange(len(cluster)) // (len(cluster) // store.n_images)
    clusters = tuple(store.attrs["clusters"])
    return Concepts(names, scipy.sparse.csr_array(truth_uc), known, image, cluster.astype(np.int64), clusters)


def _exclusive(labels_it: np.ndarray, store: Store, ignored: tuple[int, ...]) -> Concepts:
    """Concepts of which every unit shows one, or nothing is known. Images are independent of each other,
    unless the source says of which clusters they are."""
    labels, classes = labels_it.ravel(), store.classes
    known = (labels != IGNORE) & ~np.isin(labels, ignored)
    offsets = np.concatenate([[0], known.cumsum()])
    ones = np.ones(offsets[-1], np.int8)
    truth = scipy.sparse.csr_array(
        (ones, labels[known].astype(np.int64), offsets), (len(labels), len(classes))
    )
    image = np.repeat(np.arange(len(labels_it)), labels_it.shape[1])
    if store.attrs["described"] == "images":
        cluster = store.cluster()[:, 0].astype(np.int64)[image]
        return Concepts(classes, truth, known, image, cluster, tuple(store.attrs["clusters"]))
    return Concepts(classes, truth, known, image, image)
