"""What causes a latent to fire: parts of the image are taken away, and its code is measured again.

A heat map shows where a latent fires; attention mixes the patches, so what it fires for may lie elsewhere
(CaFE, arXiv 2509.00749). Axis g: groups of patches, the blocks of the grid; o: orders of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from saev.errors import SaevError
from saev.features.sight import Sight
from saev.statistics import Estimate, estimate

MOST = 64
"""Groups of an image. Each is one more image to pass, and a smaller one alone changes next to nothing."""
BATCH = 16
"""Images per pass, as in recording."""
STEPS = 8
"""Of a curve, at n (j / STEPS)^2 of the n groups: close together where the first few tell orders apart."""
ORDERS = ("effect", "firing", "random")
RANDOM = 3
"""Random orders, whose curves are averaged."""


class Curves(NamedTuple):
    """The code, as a share of the whole image's, of parts of the image.

    A part is the first k groups of an order: by `effect`, by `firing`, or `random`.
    """

    share_k: np.ndarray
    """k as a share of the groups, from 0 to 1."""
    insertion: dict[str, np.ndarray]
    """(k,) by order, with all but the part refilled."""
    deletion: dict[str, np.ndarray] | None
    """(k,) by order, with the part refilled; None if it was not asked for."""

    def areas(self, which: dict[str, np.ndarray]) -> dict[str, float]:
        """Under each of these curves, by the trapezoidal rule."""
        return {order: float(np.trapezoid(curve_k, self.share_k)) for order, curve_k in which.items()}


class Cause(NamedTuple):
    """Where a latent fires on an image, and which parts of the image make it fire where it is strongest."""

    latent: int
    code: float
    """Its largest."""
    patch: tuple[int, int]
    """(row, column) where that is."""
    group: tuple[int, int]
    """(row, column) of the group with that patch."""
    codes_hw: np.ndarray
    """(rows, columns) of all patches."""
    fires_hw: np.ndarray
    """(rows, columns) of groups: the largest code in each. (By their sum the patch's own group need not come
    first, and a latent that sees its own patch alone would seem to be caused elsewhere.)"""
    effect_hw: np.ndarray
    """(rows, columns) of groups: the largest code, minus what it is with this group refilled."""
    curves: Curves

    @property
    def agreement(self) -> float | None:
        """Spearman's rank correlation of both maps of groups; None where one of them is flat."""
        from scipy.stats import spearmanr  # a second that most stages do not need

        if np.ptp(self.fires_hw) == 0 or np.ptp(self.effect_hw) == 0:
            return None
        return float(spearmanr(self.fires_hw, self.effect_hw, axis=None).statistic)

    @property
    def elsewhere(self) -> float | None:
        """Share of the positive effects that is of groups in which it does not fire; None without any."""
        return self._share(self.fires_hw == 0)

    @property
    def beyond(self) -> float | None:
        """Share of the positive effects that is of other groups than the patch's own; None likewise."""
        others_hw = np.ones(self.effect_hw.shape, bool)
        others_hw[self.group] = False
        return self._share(others_hw)

    def _share(self, of_hw: np.ndarray) -> float | None:
        positive_hw = self.effect_hw.clip(min=0)
        return float(positive_hw[of_hw].sum() / positive_hw.sum()) if positive_hw.any() else None


def mean_colour(image: np.ndarray) -> np.ndarray:
    """The image, all of it in its mean colour: what little it tells is the same everywhere.

    A blurred copy keeps more. With all groups refilled 4 % of the code is left after block 4 of a DINOv2
    ViT-S/14 and 8 % after block 10; of a copy blurred by 14 px, a patch, 8 % and 25 % (40 latents on each
    of 2 scenes; blurred by 28 px it keeps as little as the colour). Nor do the edges of a flat square show:
    groups outside of the patch's region have 6 % and 23 % of all effects, up or down; with the copy 6 % and
    25 %.
    """
    return np.broadcast_to(np.rint(image.mean((0, 1))).astype(np.uint8), image.shape)


def causes(
    sight: Sight,
    image: np.ndarray,
    latent: int,
    *,
    refill: np.ndarray | None = None,
    deletion: bool = True,
    seed: int = 0,
) -> Cause:
    """Take groups of patches out of an image, and measure a latent on the patch where it is strongest.

        effect_g = f(image) - f(image with group g refilled)

    Each group is taken out alone: of two that say the same neither has an effect. What groups are worth
    together is told by the curves.

    Args:
        image: (h, w, 3) uint8, as the model sees it.
        refill: (h, w, 3) uint8, what is seen in place of a group; by default `mean_colour`.
        deletion: whether to draw these curves too, a quarter of all passes.
        seed: of the random orders.

    Raises:
        SaevError: the image is not of the model's size, or the latent is silent on it.
    """
    grid, size = sight.backbone.grid, sight.backbone.preprocess.size
    if image.shape != (*size, 3):
        raise SaevError(f"the image must be {(*size, 3)}, as the model sees it, got {image.shape}")
    codes_hw, (group_hw, shape) = sight.code(image[None], latent).reshape(grid), groups(grid)
    patch, n = int(codes_hw.argmax()), shape[0] * shape[1]
    parts = _Parts(image, mean_colour(image) if refill is None else refill, group_hw, sight, latent, patch)
    code, *without_g = parts.codes(np.concatenate([np.ones((1, n), bool), ~np.eye(n, dtype=bool)]))
    if not code > 0:
        raise SaevError(f"latent {latent} does not fire on this image")
    fires_g, effect_g = np.zeros(n, np.float32), code - np.array(without_g)
    np.maximum.at(fires_g, group_hw, codes_hw)
    return Cause(
        latent,
        float(code),
        divmod(patch, grid[1]),
        divmod(int(group_hw.flat[patch]), shape[1]),
        codes_hw,
        fires_g.reshape(shape),
        effect_g.reshape(shape),
        _curves(parts, float(code), np.stack([effect_g, fires_g]), deletion, seed),
    )


def groups(grid: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """(rows, columns) the group of each patch, and the (rows, columns) of groups: the smallest squares of
    patches of which there are at most MOST, and as good as equal where the grid is no whole number of them.
    """
    side = next(side for side in count(1) if -(-grid[0] // side) * -(-grid[1] // side) <= MOST)
    shape = (-(-grid[0] // side), -(-grid[1] // side))
    row, column = (np.arange(n) * parts // n for n, parts in zip(grid, shape, strict=True))
    return row[:, None] * shape[1] + column, shape


@dataclass(frozen=True)
class _Parts:
    """Parts of an image, the rest refilled, as a latent sees them from one of its patches."""

    image: np.ndarray
    refill: np.ndarray
    group_hw: np.ndarray
    sight: Sight
    latent: int
    patch: int

    def codes(self, keep_bg: np.ndarray) -> np.ndarray:
        """(b,) the code, of the image with these groups kept."""
        (h, w), (rows, columns) = self.image.shape[:2], self.group_hw.shape
        pixel_hw = self.group_hw.repeat(h // rows, 0).repeat(w // columns, 1)
        different_bg, which = np.unique(keep_bg, axis=0, return_inverse=True)
        codes = []
        for start in range(0, len(different_bg), BATCH):
            keep_bhw = different_bg[start : start + BATCH, pixel_hw]
            seen_bhwc = np.where(keep_bhw[..., None], self.image, self.refill)
            codes.append(self.sight.code(seen_bhwc, self.latent, slice(self.patch, self.patch + 1))[:, 0])
        return np.concatenate(codes)[which.ravel()]


def _curves(parts: _Parts, code: float, scores_og: np.ndarray, deletion: bool, seed: int) -> Curves:
    """Those of the orders by effect and by firing, largest first, and of random ones."""
    n, rng = scores_og.shape[1], np.random.default_rng(seed)
    k = np.unique(np.rint(n * (np.arange(STEPS + 1) / STEPS) ** 2).astype(int))
    scores_og = np.concatenate([scores_og, np.zeros((RANDOM, n))])
    # By lot among equals: silent groups would come row by row.
    rank_og = np.stack([np.lexsort((rng.random(n), -score_g)).argsort() for score_g in scores_og])
    first_okg = rank_og[:, None] < k[:, None]
    kept = [first_okg, ~first_okg] if deletion else [first_okg]
    curves = parts.codes(np.concatenate(kept).reshape(-1, n)) / code

    def by_order(curve_ok: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(ORDERS, (curve_ok[0], curve_ok[1], curve_ok[2:].mean(0)), strict=True))

    inserted, *deleted = map(by_order, curves.reshape(len(kept), len(scores_og), len(k)))
    return Curves(k / n, inserted, deleted[0] if deleted else None)


class Summary(NamedTuple):
    """What `Cause`s of a latent say on average over its images, with 95 % intervals over them."""

    images: int
    agreement: Estimate
    elsewhere: Estimate
    beyond: Estimate
    insertion: dict[str, Estimate]
    """Area by order; a low one of firing means that where it fires is not what it fires for."""
    deletion: dict[str, Estimate]
    missed: Estimate
    """Area of insertion by effect, minus by firing: what the heat map misses of the cause."""
    told: Estimate
    """Area of insertion by firing, minus in random order: what it tells of it."""


def summarise(found: Sequence[Cause]) -> Summary:
    """The mean over images, each counting once; of a figure, over those that have it."""
    shown = [cause.curves.areas(cause.curves.insertion) for cause in found]
    deleted = [(cause.curves, cause.curves.deletion) for cause in found]
    taken = [curves.areas(deletion) for curves, deletion in deleted if deletion is not None]
    return Summary(
        len(found),
        _mean([cause.agreement for cause in found], -1, 1),
        _mean([cause.elsewhere for cause in found], 0, 1),
        _mean([cause.beyond for cause in found], 0, 1),
        {order: _mean([area[order] for area in shown]) for order in ORDERS},
        {order: _mean([area[order] for area in taken]) for order in ORDERS},
        _mean([area["effect"] - area["firing"] for area in shown]),
        _mean([area["firing"] - area["random"] for area in shown]),
    )


def _mean(values: Sequence[float | None], low: float = -np.inf, high: float = np.inf) -> Estimate:
    sums_im = np.array([(value, 1.0) for value in values if value is not None]).reshape(-1, 2)
    if not len(sums_im):
        return Estimate(None)
    return estimate(sums_im, lambda totals_rm: totals_rm[:, 0] / totals_rm[:, 1], within=(low, high))
