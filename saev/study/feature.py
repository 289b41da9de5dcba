"""One latent of a cell: how it fires, where it is strongest, and what the study found out about it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saev.study.html import card
from saev.study.words import headline, sentences

if TYPE_CHECKING:
    from saev.study.cell import Cell

EXEMPLARS = 4
"""Of a card."""


class Exemplar(NamedTuple):
    """A training image on which a latent is strong."""

    image: int
    """Its number in the split."""
    code: float
    """The largest on it."""
    pixels: np.ndarray
    """(h, w, 3) uint8, as the model saw it."""
    map: np.ndarray
    """(rows, columns) codes of the patches; (1, 1), the largest, of an SAE that reads none."""


@dataclass(frozen=True, repr=False)
class Feature:
    """A latent of a cell; in a notebook it shows itself as a card."""

    cell: "Cell"
    latent: int

    @property
    def density(self) -> float:
        """Share of the training tokens on which it fires."""
        return float(self.cell.profile.density_s[self.latent])

    @property
    def maximum(self) -> float:
        """Its largest training code: the unit of the study's edits."""
        return float(self.cell.profile.maximum_s[self.latent])

    @property
    def told(self) -> dict:
        """What the records of the study say of it, as saev.study.evidence gives it; {} of most latents."""
        return self.cell.told.get(self.latent, {})

    @property
    def concept(self) -> str | None:
        """Of the concepts that it was chosen for and detects above chance the best; None if there is none."""
        claimed = [row for row in self.told.get("concepts", ()) if row["claimed"]]
        return max(claimed, key=lambda row: row["f1"])["name"] if claimed else None

    def top(self, k: int = EXEMPLARS) -> list[Exemplar]:
        """The training images on which it is strongest, at most nine, first the strongest."""
        numbers = self.cell.profile.strongest_sk[self.latent][:k]
        return [self._exemplar(int(image)) for image in numbers if image >= 0]

    @cached_property
    def evidence(self) -> list[str]:
        """What the study found out about it, in sentences."""
        return sentences(self.told)

    def _exemplar(self, image: int) -> Exemplar:
        code_t = np.zeros(self.cell.tokens.per_image, np.float32)
        fired = self.cell.codes.of(image)
        mine = fired.latent_n == self.latent
        code_t[fired.token_n[mine]] = fired.code_n[mine]
        pixels = self.cell.tokens.store.preprocess.crop(self.cell.images[image].image)
        return Exemplar(image, float(code_t.max()), pixels, self.cell.map_of(code_t))

    def __repr__(self) -> str:
        return "\n  ".join([f"Feature {headline(self)}", *self.evidence])

    def _repr_html_(self) -> str:
        return card(self)
