"""Cards of latents, as notebooks show them: HTML that is whole in itself."""

import base64
import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from saev.report.heat import overlay
from saev.report.page import fixed, percent

if TYPE_CHECKING:
    from jinja2 import Template

    from saev.study.explanation import Explanation
    from saev.study.feature import Feature

WIDTH = 90
"""Pixels of a picture, at most: a card and its exemplars are one line of a notebook."""


def card(of: "Feature") -> str:
    """A latent with its exemplars and its evidence."""
    return _template("card").render(cards=[_content(of)], image=None)


def cards(of: "Explanation") -> str:
    """An image, and a card of each latent that fires on it, with where."""
    told = []
    for firing in of:
        here = f"mean code {firing.mean:.2f}, on {percent(firing.share, 0)} of the tokens"
        told.append(
            _content(firing.feature) | {"here": here, "map": _mapped(of.pixels, firing.map, firing.feature)}
        )
    return _template("card").render(cards=told, image=_picture(of.pixels))


def _content(of: "Feature") -> dict:
    return {
        "latent": of.latent,
        "concept": of.concept,
        "density": percent(of.density),
        "maximum": fixed(of.maximum, 1),
        "evidence": of.evidence,
        "exemplars": [
            {
                "number": one.image,
                "code": fixed(one.code, 1),
                "crop": _picture(one.pixels),
                "map": _mapped(one.pixels, one.map, of) if one.map.size > 1 else None,
            }
            for one in of.top()
        ],
        "here": None,
    }


def _mapped(pixels: np.ndarray, codes_hw: np.ndarray, of: "Feature") -> str:
    """The image under the codes; as it is where the unit is the whole image."""
    return _picture(pixels if codes_hw.size == 1 else overlay(pixels, codes_hw, of.maximum))


def _picture(pixels: np.ndarray) -> str:
    """As a data URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((WIDTH, WIDTH))
    content = io.BytesIO()
    image.save(content, "webp", quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("saev.study"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{name}.html.j2")
