import numpy as np
import pytest
from matplotlib.colors import to_rgb

from saev.report.palette import COLOURS, distinct, ink, lettered, oklab


def luminance(colour: str) -> float:
    """Of WCAG 2."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("n", [0, 1, 6, 25, 150])
def test_no_colour_comes_twice(n):
    colours = distinct(n)
    assert len(colours) == n == len({to_rgb(colour) for colour in colours})
    assert distinct(200)[:n] == colours  # more colours leave the first ones as they are


def test_two_dozen_colours_look_different():
    lab = oklab(np.array([to_rgb(colour) for colour in distinct(24)]))
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)[np.triu_indices(24, 1)]
    least = np.linalg.norm(oklab(np.array(to_rgb("#1f77b4"))) - oklab(np.array(to_rgb("#2ca02c"))))
    assert apart.min() > 0.08 > 0 and least > apart.min()


def test_oklab_is_that_of_its_paper():
    """Values of the reference implementation (Ottosson 2020)."""
    assert np.allclose(oklab(np.array([1.0, 1, 1])), [1, 0, 0], atol=1e-4)
    assert np.allclose(oklab(np.array([1.0, 0, 0])), [0.62796, 0.22486, 0.12585], atol=1e-4)
    assert np.allclose(oklab(np.array([0, 0, 1.0])), [0.45201, -0.03246, -0.31153], atol=1e-4)


def test_words_are_read_on_every_colour_and_in_every_colour():
    for colour in distinct(60):
        assert contrast(ink(colour), colour) > 3
        assert contrast(lettered(colour), "white") > 3
    assert lettered(COLOURS[0]) == COLOURS[0].lower()
