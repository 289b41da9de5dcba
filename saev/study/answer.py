"""What a head reads in an image."""

from dataclasses import dataclass

import numpy as np

from saev.errors import SaevError

SHOWN = 8


@dataclass(frozen=True, repr=False)
class Answer:
    """The logits of a task on one image.

    answer["stripes"]        (rows, columns) logits of one question, or one number of a task on images
    after["stripes"] - before["stripes"]
    """

    names: tuple[str, ...]
    logits_uc: np.ndarray
    """(u, c) float32."""
    shape: tuple[int, ...]
    """Of the units: the grid of the patches, or () of an image as a whole."""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise SaevError(f"the head was asked for {', '.join(self.names)}, got {name!r}")
        return self.logits_uc[:, self.names.index(name)].reshape(self.shape)

    def __repr__(self) -> str:
        mean_c = self.logits_uc.mean(0)
        best = np.argsort(-mean_c, kind="stable")[:SHOWN]
        told = ", ".join(f"{self.names[c]} {mean_c[c]:+.2f}" for c in best)
        units = f"{len(self.logits_uc)} patches" if self.shape else "the image"
        return f"Answer(mean logit over {units}: {told})"
