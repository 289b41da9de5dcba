"""What chance does: the label maps of images, shuffled among them.

A whole map moves at once, because the patches of an image are not independent of each other: shuffled one by
one they would make every claim look certain.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from saev.features import Codes
from saev.probing.concepts import Concepts
from saev.probing.f1 import Counts, chosen, count_parts, f1, ratio
from saev.probing.folds import Folds


class Detector(NamedTuple):
    """A latent that says "yes" where its code exceeds a threshold, and the units that it is judged on."""

    latent: int
    threshold: float
    judging: np.ndarray
    """(units,) bool."""


def shuffled_f1(
    codes: Codes, asked: Concepts, c: int, detectors: Sequence[Detector], *, times: int, seed: int
) -> np.ndarray:
    """(times,) F1 of concept c, all detectors together, after so many permutations of the label maps among
    the images of which something is known."""
    units, shown = asked.of(c)
    images = np.unique(asked.image[units])
    moved_ri = np.random.default_rng([seed, c]).permuted(np.tile(images, (times, 1)), axis=1)
    hits, fires = np.zeros(times), np.zeros(times)
    for detector in detectors:
        mine = detector.judging[units]
        yes_u = codes.column(detector.latent) > detector.threshold
        yes, members, known = (
            _packed(mask_u, codes.n_images)
            for mask_u in (yes_u, _mask(units[mine & shown], yes_u), _mask(units[mine], yes_u))
        )
        yes = yes[images]
        for r, moved in enumerate(moved_ri):
            hits[r] += np.bitwise_count(yes & members[moved]).sum(dtype=np.int64)
            fires[r] += np.bitwise_count(yes & known[moved]).sum(dtype=np.int64)
    possible = fires + shown.sum()
    return np.divide(2 * hits, possible, out=np.zeros(times), where=possible > 0)


def chosen_anew_f1(
    codes: Codes, asked: Concepts, c: int, parts: Folds, *, times: int, seed: int
) -> np.ndarray:
    """(times,) cross-fitted F1 of concept c after so many permutations of the label maps among the images of
    which something is known, with latent and threshold chosen anew in each, by the folds of both splits."""
    units, _ = asked.of(c)
    images, rng = np.unique(asked.image[units]), np.random.default_rng([seed, c])
    own = replace(asked, names=(asked.names[c],), truth=asked.truth[:, [c]], known=_mask(units, asked.known))
    place, live, found_r = np.arange(codes.n_images), codes.density > 0, np.zeros(times)
    for r in range(times):
        moved = place.copy()
        moved[images] = rng.permutation(images)
        unit_u = (moved[:, None] * codes.per_image + np.arange(codes.per_image)).ravel()
        laid = replace(own, truth=own.truth[unit_u], known=own.known[unit_u])
        by_part = count_parts(codes, laid, parts.train_u, parts.n + 1)
        of_all, total = reduce(Counts.__add__, by_part), np.zeros(2)
        for judged in by_part[: parts.n]:
            (latent,), (t,) = chosen(f1(of_all - judged), live)
            fires = judged.fires_tcs[t, -1, latent]
            total += 2 * judged.hits_tcs[t, 0, latent], fires + judged.members_c[0]
        found_r[r] = ratio(total)
    return found_r


def _mask(units: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(all units,) bool: whether each is among `units`."""
    mask = np.zeros(like.shape, bool)
    mask[units] = True
    return mask


def _packed(mask_u: np.ndarray, n_images: int) -> np.ndarray:
    """(n_images, words) uint64: the units of an image as bits, 64 of which cost as much as one."""
    of_image = np.packbits(mask_u.reshape(n_images, -1), axis=1)
    return np.pad(of_image, ((0, 0), (0, -of_image.shape[1] % 8))).view(np.uint64)


def best_of_many(
    codes: Codes, asked: Concepts, *, threshold: float = 0.0, times: int = 1000, seed: int = 0
) -> np.ndarray:
    """(c, s) p of each latent for each concept, corrected for the choice among all latents: the share of
    permutations in which the best latent of all, max_s F1, does as well (max-T, Westfall & Young 1993).

    It holds whatever the dependence between latents. A latent fires where its code exceeds the threshold.
    """
    yes = codes.csr.copy()
    yes.data = (codes.csr.data > threshold).astype(np.float32)
    yes.eliminate_zeros()
    truth_cu = (asked.truth > 0).astype(np.float32).T.tocsr()
    unknown_cu = (asked.truth < 0).astype(np.float32).T.tocsr()
    known_u = asked.known.astype(np.float32)
    images = np.unique(asked.image[asked.known])
    rng, per_image = np.random.default_rng(seed), codes.per_image

    def scores(unit_u: np.ndarray) -> np.ndarray:
        """(c, s) F1 of the label maps laid over the images so."""
        known = known_u[unit_u]
        shown, doubted = (known * matrix[:, unit_u] for matrix in (truth_cu, unknown_cu))
        hits = (shown @ yes).toarray()
        possible = known @ yes + shown.sum(1)[:, None]
        if doubted.nnz:
            possible = possible - (doubted @ yes).toarray()
        return np.divide(2 * hits, possible, out=np.zeros(hits.shape), where=possible > 0)

    def best(moved: np.ndarray) -> np.ndarray:
        """(c,) of the latents' scores with image i's label map taken from image moved[i]."""
        return scores((moved[:, None] * per_image + np.arange(per_image)).ravel()).max(1)

    found_cs = scores(np.arange(codes.n_images * per_image))
    moved_ri = np.tile(np.arange(codes.n_images), (times, 1))
    for moved in moved_ri:
        moved[images] = rng.permutation(images)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # scipy's products let other threads run
        best_rc = np.stack(list(pool.map(best, moved_ri)))
    best_rc.sort(0)
    above = [times - np.searchsorted(of, found) for of, found in zip(best_rc.T, found_cs, strict=True)]
    return (1 + np.stack(above)) / (1 + times)
