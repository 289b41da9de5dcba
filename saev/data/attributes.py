"""Attributes: what can be done to the picture of a region, whatever photograph it shows.

Whole numbers throughout, so that they are the same on every machine.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Picture = np.ndarray
"""(h, w, 3) uint8, contiguous."""

WORDS = ("word", "feature", "paper", "latent", "vision", "text")


def _tint(x: Picture, rng: np.random.Generator) -> Picture:
    return np.clip(x.astype(np.int32) * (320, 179, 179) // 256 + (25, 0, 0), 0, 255).astype(np.uint8)


def _grey(x: Picture, rng: np.random.Generator) -> Picture:
    return np.repeat(np.asarray(Image.fromarray(x).convert("L"))[..., None], 3, 2)


def _dark(x: Picture, rng: np.random.Generator) -> Picture:
    return (x.astype(np.uint16) * 77 // 256).astype(np.uint8)


def _blur(x: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(Image.fromarray(x).filter(ImageFilter.GaussianBlur(_length(x, 5))))


def _noise(x: Picture, rng: np.random.Generator) -> Picture:
    return np.clip(x + rng.integers(-78, 79, x.shape), 0, 255).astype(np.uint8)  # deviation 45


def _pixelated(x: Picture, rng: np.random.Generator) -> Picture:
    h, w = x.shape[:2]
    block = _length(x, 8)
    small = Image.fromarray(x).resize((-(-w // block), -(-h // block)), Image.Resampling.BOX)
    return np.asarray(small.resize((w, h), Image.Resampling.NEAREST))


def _stripes(x: Picture, rng: np.random.Generator) -> Picture:
    rows, columns = np.indices(x.shape[:2])
    return np.where(((rows + columns) // _length(x, 6) % 3 == 0)[..., None], 255 - x // 3, x)


def _dots(x: Picture, rng: np.random.Generator) -> Picture:
    pitch = _length(x, 16)
    from_centre = np.indices(x.shape[:2]) % pitch - pitch // 2
    inside = 16 * (from_centre**2).sum(0) < pitch**2
    return np.where(inside[..., None], np.array([30, 30, 200], np.uint8), x)


def _text(x: Picture, rng: np.random.Generator) -> Picture:
    h, w = x.shape[:2]
    image, font = Image.fromarray(x), ImageFont.load_default(_length(x, 18))
    draw, ink = ImageDraw.Draw(image), (255, 255, 255) if x.mean() < 128 else (0, 0, 0)
    for top in range(0, h, _length(x, 22)):
        line = " ".join(rng.choice(WORDS, 4 + w // _length(x, 40)))
        draw.text((-int(rng.integers(0, _length(x, 30))), top), line, fill=ink, font=font)
    return np.asarray(image)


def _as_it_is(x: Picture, rng: np.random.Generator) -> Picture:
    return x


ATTRIBUTES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "tint": _tint,
    "grey": _grey,
    "dark": _dark,
    "blur": _blur,
    "noise": _noise,
    "pixelated": _pixelated,
    "stripes": _stripes,
    "dots": _dots,
    "text": _text,
    "turn": _as_it_is,  # a quarter turn: cut from the photograph lying down (Region.picture)
}
"""In the order in which they are laid over one another."""

FAMILIES = {
    "colour": ("tint", "grey", "dark"),
    "coarseness": ("blur", "noise", "pixelated"),
    "overlay": ("stripes", "dots", "text"),
}
"""The upper level of the hierarchy: a region shows a family if it shows one of these."""

CONCEPTS = (*ATTRIBUTES, *FAMILIES)

OF_ITSELF = {
    "grey": frozenset(("brick", "grass", "gravel", "coins", "moon", "page")),
    "text": frozenset(("page",)),
    "dots": frozenset(("hubble",)),
    "dark": frozenset(("hubble", "moon")),
}
"""Photographs that look so without it: there it is not laid on, and nobody knows whether it shows."""


def shown(attributes: frozenset[str], photograph: str) -> np.ndarray:
    """(concepts,) int8: 1 what a region with these attributes shows, 0 what not, -1 what nobody knows."""
    known = {
        name: -1 if photograph in OF_ITSELF.get(name, ()) else int(name in attributes) for name in ATTRIBUTES
    }
    for family, members in FAMILIES.items():
        of_members = [known[name] for name in members]
        # Were a family known where one of its members shows though another is in doubt, it would only ever be
        # known to show there.
        known[family] = -1 if -1 in of_members else max(of_members)
    return np.array([known[name] for name in CONCEPTS], np.int8)


def _length(x: Picture, at_224: int) -> int:
    """A length in pixels that looks the same at every size, at least 1."""
    return max(1, round(at_224 * min(x.shape[:2]) / 224))
