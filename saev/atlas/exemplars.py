"""Where latents fire on their exemplars: sparse maps of few bytes, laid over the image by the page."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from saev.atlas.fired import Source

LEVELS = 255
"""Steps of a code in a map, of the latent's largest; 1 is the smallest that fires."""


class Shown(NamedTuple):
    """Exemplars of every latent, and the maps of their codes."""

    image_sk: np.ndarray
    """Their numbers; -1 where there is none."""
    peak_sk: np.ndarray
    """float32, the largest code on each."""
    map_sk: np.ndarray
    """(s, k) objects: (tokens uint16, levels uint8) of each."""


def exemplar_maps(codes: Source, image_sk: np.ndarray, maximum_s: np.ndarray, *, pooled: bool) -> Shown:
    """Read the codes of each exemplar's image once, in the order of the file.

    Memory grows with the latents, not with the images.

    Args:
        pooled: whether a map is one number, the largest of the image, as where tokens lie in no grid.
    """
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for s, k in np.argwhere(image_sk >= 0):
        wanted[int(image_sk[s, k])].append((int(s), int(k)))
    peak_sk = np.zeros(image_sk.shape, np.float32)
    map_sk = np.full(image_sk.shape, None, object)
    for image in sorted(wanted):
        fired = codes.of(image)
        order = np.argsort(fired.latent_n, kind="stable")
        latent_n, token_n, code_n = fired.latent_n[order], fired.token_n[order], fired.code_n[order]
        for s, k in wanted[image]:
            mine = slice(*np.searchsorted(latent_n, [s, s + 1]))
            token, code = token_n[mine], code_n[mine]
            peak_sk[s, k] = code.max(initial=0)
            if pooled:
                token, code = np.zeros(min(1, len(token)), int), peak_sk[s, k : k + 1][: len(token)]
            map_sk[s, k] = token.astype(np.uint16), levels(code, maximum_s[s])
    return Shown(image_sk, peak_sk, map_sk)


def levels(code_n: np.ndarray, maximum: np.ndarray) -> np.ndarray:
    """Codes above 0 as steps of the latent's largest in training, uint8; the last of one that was silent
    there."""
    share = code_n / np.maximum(maximum, np.float32(2**-24))  # the smallest code that a file can hold
    return np.clip(np.ceil(share * LEVELS), 1, LEVELS).astype(np.uint8)
