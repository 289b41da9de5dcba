"""Colours that can be told apart, any number of them."""

from functools import cache

import numpy as np
from matplotlib.colors import to_hex, to_rgb

# Okabe and Ito's palette, told apart by readers with colour-blindness; its yellow is lost on white, and
# black is for what is drawn over the colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DOUBT = "#b3261e"
"""Of what no claim rests on."""


@cache
def distinct(n: int) -> tuple[str, ...]:
    """`n` different colours: COLOURS, then each the one farthest from black, white and all before it.

    Distances are those of OKLab (Ottosson 2020), in which equal ones look about equal. Beyond a dozen no
    palette can be told apart by colour alone: what is drawn with it also carries numbers, markers or dashes.
    """
    steps = np.linspace(0, 1, 13)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = oklab(candidates)
    calm = np.hypot(lab[:, 1], lab[:, 2]) < 0.18
    seen = (lab[:, 0] > 0.38) & (lab[:, 0] < 0.9) & calm
    candidates, lab = candidates[seen], lab[seen]
    colours: list[str] = list(COLOURS[:n])
    taken = oklab(np.array([to_rgb(c) for c in (*COLOURS, "black", "white")]))
    distance = np.linalg.norm(lab[:, None] - taken, axis=-1).min(1)
    while len(colours) < n:
        best = int(distance.argmax())
        colours.append(to_hex(candidates[best]))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[best], axis=-1))
    return tuple(colours)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) sRGB in [0, 1] to (..., 3) OKLab: lightness, green to red, blue to yellow."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponents = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(linear @ cones.T) @ opponents.T


def ink(colour: str) -> str:
    """Black or white, whichever is read better on `colour`."""
    return "black" if oklab(np.array(to_rgb(colour)))[0] > 0.62 else "white"


def lettered(colour: str) -> str:
    """`colour`, darkened until words in it are read on white."""
    rgb = np.array(to_rgb(colour))
    while oklab(rgb)[0] > 0.6:
        rgb = 0.9 * rgb
    return to_hex(tuple(rgb))
