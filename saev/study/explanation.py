"""What fires on an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.study.feature import Feature
from saev.study.html import cards
from saev.study.words import headline


class Firing(NamedTuple):
    """A latent on an image."""

    feature: Feature
    mean: float
    """Mean code over the tokens that were asked for."""
    share: float
    """Of these tokens, on which it fires."""
    map: np.ndarray
    """(rows, columns) codes of the patches; (1, 1), the largest, of an SAE that reads none."""


@dataclass(frozen=True, repr=False)
class Explanation:
    """The latents that fire most on an image, the first first; in a notebook it shows itself as cards."""

    pixels: np.ndarray
    """(h, w, 3) uint8, as the model saw it."""
    codes_ts: scipy.sparse.csr_array
    """Of all tokens that the SAE reads, all latents."""
    firings: list[Firing]

    def __len__(self) -> int:
        return len(self.firings)

    def __iter__(self) -> Iterator[Firing]:
        return iter(self.firings)

    def __getitem__(self, i: int) -> Firing:
        return self.firings[i]

    def __repr__(self) -> str:
        told = [f"  mean {of.mean:.2f}, on {of.share:.0%}: latent {headline(of.feature)}" for of in self]
        return "\n".join([f"Explanation of {self.pixels.shape[1]} x {self.pixels.shape[0]} px:", *told])

    def _repr_html_(self) -> str:
        return cards(self)
