"""Which features fire on an image, and what is known of each."""

from typing import NamedTuple

import numpy as np

from saev.app.bench import Bench, Subject
from saev.errors import SaevError
from saev.features import Order, strongest_here, top_images


def strongest(
    bench: Bench, subject: Subject, patches: tuple[int, ...], *, by: Order = "strength", k: int = 24
) -> list[dict]:
    """The features that fire most on some patches, or, of none, on all tokens that the SAE reads."""
    csr = subject.codes[_rows(bench, patches)]
    best, mean_s = strongest_here(csr, bench.profile.density_s, by, k)
    share_s = np.bincount(csr.indices, minlength=bench.sae.d_sae) / csr.shape[0]
    return [{**summary(bench, int(s)), "code": float(mean_s[s]), "share": float(share_s[s])} for s in best]


def summary(bench: Bench, latent: int) -> dict:
    """A latent in one line: how often and how strongly it fires in training, and what it was chosen for."""
    return {
        "latent": latent,
        "density": float(bench.profile.density_s[latent]),
        "maximum": float(bench.profile.maximum_s[latent]),
        "claims": bench.claims.get(latent, [])[:3],
    }


def named(bench: Bench, words: str, k: int = 24) -> list[dict]:
    """The features that were chosen for concepts whose names hold these words; of no words, for any."""
    wanted = words.lower().split()
    latents = {
        row["latent"]: None
        for row in sorted(bench.evidence, key=lambda row: -row["f1"])
        if all(word in row["name"].lower() for word in wanted)
    }
    return [summary(bench, s) for s in list(latents)[:k]]


class Card(NamedTuple):
    """A feature on an image and elsewhere."""

    facts: dict
    heat_p: np.ndarray
    """(patches,) its codes on the image; 0 throughout of an SAE that reads no patches."""
    exemplars: list[int]
    """The validation images on which it is strongest."""
    maps_kp: np.ndarray
    """(exemplars, patches) its codes on these."""


def card(bench: Bench, subject: Subject, latent: int, k: int = 8) -> Card:
    """All that is told of a feature. Raises SaevError if there is no such latent."""
    bench.check_latent(latent)
    code_it, code_t = bench.val.maps(latent), subject.codes[:, [latent]].toarray().ravel()
    images = top_images(code_it, k)
    beside = np.setdiff1d(np.arange(len(code_t)), bench.row_of_patch)
    facts = {
        **summary(bench, latent),
        "claims": bench.claims.get(latent, []),
        "here": float(code_t.max()),
        "beside_patches": [float(code) for code in code_t[beside]],
        "strongest": [float(code_it[i].max()) for i in images],
    }
    return Card(
        facts, _of_patches(bench, code_t[None])[0], images.tolist(), _of_patches(bench, code_it[images])
    )


def alike(bench: Bench, subject: Subject, patches: tuple[int, ...], k: int = 8) -> Card:
    """What else looks like these patches: the validation images with the token whose codes have the largest
    cosine with the mean code of these patches."""
    mean_s = np.asarray(subject.codes[_rows(bench, patches)].mean(0)).ravel()
    length = float(np.linalg.norm(mean_s))
    if not length:
        raise SaevError("no feature fires on these patches; choose others")
    csr = bench.val.csr
    norms = np.sqrt(np.asarray(csr.multiply(csr).sum(1)).ravel())
    cosine_it = (csr @ mean_s / np.maximum(norms * length, 1e-12)).reshape(bench.val.n_images, -1)
    of_others = cosine_it.copy()
    if subject.address.isdigit():  # of the study: it is most like itself
        of_others[int(subject.address)] = 0
    images = top_images(of_others, k)
    facts = {"strongest": [float(cosine_it[i].max()) for i in images]}
    own_p = _of_patches(bench, _cosine(subject, mean_s, length)[None])[0]
    return Card(facts, own_p, images.tolist(), _of_patches(bench, cosine_it[images]))


def _cosine(subject: Subject, mean_s: np.ndarray, length: float) -> np.ndarray:
    norms = np.sqrt(np.asarray(subject.codes.multiply(subject.codes).sum(1)).ravel())
    return subject.codes @ mean_s / np.maximum(norms * length, 1e-12)


def _rows(bench: Bench, patches: tuple[int, ...]) -> np.ndarray:
    """Of the tokens that the SAE reads those that are these patches; all if there are none of them."""
    rows = bench.row_of_patch[list(patches)]
    rows = rows[rows >= 0]
    return rows if len(rows) else np.arange(bench.tokens.per_image)


def _of_patches(bench: Bench, values_kt: np.ndarray) -> np.ndarray:
    """(k, patches) of (k, tokens that the SAE reads)."""
    rows = bench.row_of_patch
    return np.where(rows >= 0, values_kt[:, rows], 0)
