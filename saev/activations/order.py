"""Whether patch tokens lie in the order of their grid.

A model that shuffles its tokens (masked autoencoders do, also at a mask of 0 %) gives a store in which every
vector is right and every map, label and exemplar is wrong. Neighbouring patches of a photograph are more
alike than any two; under a shuffle they are not.
"""

from typing import NamedTuple

import numpy as np

IMAGES, SHUFFLES, SMALLEST = 16, 99, 9
"""Looked at; drawn to know chance; patches below which nothing can be told."""


class Order(NamedTuple):
    """Mean cosines of patch tokens of an image, centred over it."""

    neighbours: float
    """Of those side by side in the grid."""
    any_two: float
    chance: float
    """The largest that neighbours had in 99 random orders: exceeded by chance once in 100 stores."""

    @property
    def is_grid(self) -> bool:
        """Whether neighbours are more alike than chance makes them."""
        return self.neighbours > self.chance

    def __str__(self) -> str:
        return (
            f"cosine {self.neighbours:.3f} of neighbours, {self.any_two:.3f} of any two, "
            f"at most {self.chance:.3f} of neighbours in a random order"
        )


def token_order(x_bpd: np.ndarray, grid: tuple[int, int]) -> Order | None:
    """The order of the patch tokens (b, rows * columns, d) of images; None of too few patches, or images."""
    rows, columns = grid
    x_bpd = x_bpd[np.isfinite(x_bpd[:, 0, 0])][:IMAGES].astype(np.float32)
    b, p = x_bpd.shape[:2]
    if not b or p < SMALLEST:
        return None
    x_bpd = x_bpd - x_bpd.mean(1, keepdims=True)
    x_bpd /= np.maximum(np.linalg.norm(x_bpd, axis=2, keepdims=True), 1e-12)
    cosines_bpp = x_bpd @ x_bpd.transpose(0, 2, 1)
    place = np.arange(p).reshape(rows, columns)
    one = np.concatenate([place[:, :-1].ravel(), place[:-1].ravel()])
    other = np.concatenate([place[:, 1:].ravel(), place[1:].ravel()])
    rng = np.random.default_rng(0)
    shuffled = []
    for _ in range(SHUFFLES):
        order_bp = rng.permuted(np.tile(np.arange(p), (b, 1)), axis=1)
        shuffled.append(cosines_bpp[np.arange(b)[:, None], order_bp[:, one], order_bp[:, other]].mean())
    any_two = (cosines_bpp.sum((1, 2)) - np.trace(cosines_bpp, axis1=1, axis2=2)).mean() / (p * (p - 1))
    return Order(float(cosines_bpp[:, one, other].mean()), float(any_two), float(max(shuffled)))
