"""Names that users gave, made fit to print: nothing in them is markup, and none is wider than its place."""

from bisect import bisect_right
from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import FontProperties, fontManager, get_font, ttfFontProperty
from matplotlib.textpath import text_to_path

FALLBACKS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "IPAexGothic",
    "IPAGothic",
    "TakaoGothic",
    "Droid Sans Fallback",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Yu Gothic",
    "MS Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Unifont",
)
"""Where to look for what DejaVu Sans, which comes with matplotlib, has no letters for."""
OWN = "DejaVu Sans of matplotlib"
"""A name of ours for these very files: of the name alone a system may have another version, whose letters
have other numbers, and so a figure other bytes."""

ELLIPSIS = "…"


@cache
def families() -> tuple[str, ...]:
    """OWN, and those of FALLBACKS that this machine has (a missing family would be a warning)."""
    there = {font.name for font in fontManager.ttflist}
    for style in ("", "-Bold", "-Oblique", "-BoldOblique"):
        file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{style}.ttf")
        fontManager.ttflist.append(replace(ttfFontProperty(get_font(file)), name=OWN))
    return (OWN, *(name for name in FALLBACKS if name in there))


@cache
def _letters() -> frozenset[int]:
    """Code points that some family has a letter for."""
    fonts = (get_font(fontManager.findfont(FontProperties(family=[name]))) for name in families())
    return frozenset().union(*(font.get_charmap() for font in fonts))


def visible(text: str) -> str:
    r"""`text` with everything that cannot be printed as Python spells it: a newline is \n."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def drawable(text: str) -> str:
    r"""`visible`, and letters that no font here has spelled in the same way: \u732b.

    Names in an unknown script stay apart from each other; the boxes that a font draws in their place do not.
    """
    letters = _letters()
    return "".join(c if ord(c) in letters else c.encode("unicode_escape").decode() for c in visible(text))


def shorten(text: str, keep: int) -> str:
    """Both ends of `text`, `keep` characters in all, with an ellipsis between them."""
    if keep >= len(text):
        return text
    return text[: (keep + 1) // 2] + ELLIPSIS + text[len(text) - keep // 2 :]


def width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of drawable text in `size` points, and 3 % for the rounding of letters to pixels."""
    font = FontProperties(family=list(families()), size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] * 1.03 / 72


def fit(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """`text` made drawable, and shortened in its middle until it is no wider than `inches`."""
    text = drawable(text)
    if width(text, size, weight) <= inches:
        return text
    kept = bisect_right(range(len(text)), inches, key=lambda k: width(shorten(text, k), size, weight))
    return shorten(text, max(kept - 1, 1))
