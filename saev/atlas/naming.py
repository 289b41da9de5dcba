"""A name for every latent: the concept that it detects best, and whether that is more than chance.

The probe asks which latent detects a concept; here it is the other way round.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.errors import SaevError
from saev.features import Codes
from saev.probing import Concepts, Splits, best_of_many
from saev.probing.f1 import count, f1
from saev.probing.match import ratio
from saev.statistics import estimate

CLAIMED = 0.05
"""Of p: latents above it get no interval."""


class Names(NamedTuple):
    """Of every latent the concept that it detects best on training, "fires" as the detector, and how well it
    does on validation."""

    concepts: tuple[str, ...]
    concept_s: np.ndarray
    """An index into `concepts`; -1 of dead latents."""
    f1_s: np.ndarray
    low_s: np.ndarray
    """95 % interval over clusters, NaN where there is none."""
    high_s: np.ndarray
    null_s: np.ndarray
    """F1 to expect where the label maps of whole images are exchanged among them."""
    p_s: np.ndarray
    """The share of such exchanges in which the best of all latents does as well."""


def name_latents(splits: Splits, *, times: int, seed: int) -> Names:
    """Choose on training, measure on validation.

    Args:
        times: permutations.
    """
    train, val, asked_train, asked_val = splits
    live_s = train.density > 0
    concept_s = np.where(live_s, f1(count(train, asked_train, (0.0,)))[0].argmax(0), -1)
    here_s, of_latent = np.arange(len(live_s)), np.maximum(concept_s, 0)
    f1_s = f1(count(val, asked_val, (0.0,)))[0][of_latent, here_s]
    p_s = best_of_many(val, asked_val, times=times, seed=seed)[of_latent, here_s]
    interval_s = np.full((len(live_s), 2), np.nan)
    for s in np.flatnonzero(live_s & (p_s <= CLAIMED)):
        found = estimate(_sums(val, asked_val, int(s), int(concept_s[s])), ratio, seed=seed, within=(0, 1))
        interval_s[s] = found.low, found.high
    null_s = expected_f1(val, asked_val)[of_latent, here_s]
    return Names(asked_val.names, concept_s, f1_s, *interval_s.T, null_s=null_s, p_s=p_s)


def expected_f1(codes: Codes, asked: Concepts) -> np.ndarray:
    """(c, s) 2 E[hits] / (E[fires] + members), over all exchanges of label maps among the images of which
    something is known: with the units at each place p in an image,

        E[hits] = sum_p fires_p members_p / images,    E[fires] = sum_p fires_p known_p / images.
    """
    known, images = asked.known.astype(float), np.unique(asked.image[asked.known])
    there_u = np.isin(asked.image, images).astype(float)
    place_u, units = np.arange(len(known)) % codes.per_image, np.arange(len(known))
    place_pu = scipy.sparse.csr_array((there_u, (place_u, units)))
    fires_ps, members_pc = (
        (place_pu @ scipy.sparse.csr_array(yes, dtype=float)).toarray()
        for yes in (codes.csr > 0, (asked.truth > 0).multiply(known[:, None]))
    )
    n = max(len(images), 1)
    hits_cs, fires_s = members_pc.T @ fires_ps / n, (place_pu @ known) @ fires_ps / n
    possible_cs = fires_s + members_pc.sum(0)[:, None]
    return np.divide(2 * hits_cs, possible_cs, out=np.zeros(hits_cs.shape), where=possible_cs > 0)


def only(asked: Concepts, names: list[str]) -> Concepts:
    """The concepts of these names alone. Raises SaevError if there is none of a name."""
    if other := [name for name in names if name not in asked.names]:
        raise SaevError(f"{other[0]}: the probe's, but no concept of the images; run the probe stage again")
    columns = [asked.names.index(name) for name in names]
    return replace(asked, names=tuple(names), truth=scipy.sparse.csr_array(asked.truth[:, columns]))


def _sums(val: Codes, asked: Concepts, s: int, c: int) -> np.ndarray:
    """(g, 2) of each cluster: 2 hits, and fires + members."""
    units, truth = asked.of(c)
    yes, group_u = val.column(s)[units] > 0, np.searchsorted(asked.judged, asked.cluster[units])
    columns = (2.0 * (yes & truth), yes * 1.0 + truth)
    return np.stack([np.bincount(group_u, of, len(asked.judged)) for of in columns], 1)
