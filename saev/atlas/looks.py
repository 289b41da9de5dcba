"""An image as the latents see it: every patch with the codes that fire there."""

from pathlib import Path

import numpy as np

from saev.atlas.exemplars import levels
from saev.atlas.fired import Fired
from saev.atlas.script import narrowest, packed, write_script

MOST = 64
"""Latents of a patch that are told, the strongest for their kind; dense codes would fill the disk."""


def write_look(
    out: Path, key: str, fired: Fired, maximum_s: np.ndarray, tokens: int, *, pooled: bool
) -> None:
    """Write the script of an image: of each token its latents, those nearest to their own maximum first.

    Args:
        pooled: whether the image is one unit, with the largest code of its tokens.
    """
    token_n, latent_n, code_n = fired
    if pooled:
        order = np.lexsort((-code_n, latent_n))
        first = np.unique(latent_n[order], return_index=True)[1]
        latent_n, code_n = latent_n[order][first], code_n[order][first]
        token_n, tokens = np.zeros(len(latent_n), int), 1
    level_n = levels(code_n, maximum_s[latent_n])
    order = np.lexsort((latent_n, -(code_n / maximum_s[latent_n].clip(1e-30)), token_n))
    token_n, latent_n, level_n = token_n[order], latent_n[order], level_n[order]
    rank = np.arange(len(token_n)) - np.searchsorted(token_n, token_n)
    told = rank < MOST
    value = {
        "count": packed(np.bincount(token_n[told], minlength=tokens).astype(np.uint8)),
        "latent": packed(narrowest(latent_n[told])),
        "level": packed(level_n[told]),
        "left": int((~told).sum()),
    }
    write_script(out, key, value)
