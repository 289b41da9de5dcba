import numpy as np
import pytest
from matplotlib.colors import to_hex

from saev.report.causes import LEAST, ORDERS, Caused, cause_pages
from saev.report.heat import overlay
from saev.report.style import save
from tests.report.looking import boxes, overlap, settled
from tests.report.test_lettering import ODD

RNG = np.random.default_rng(0)
SHARE = np.array([0, 0.25, 1])


def row(h=64, w=64, insertion=(1.0, 0.5, 0.25), elsewhere: float | None = 0.4) -> Caused:
    codes, effect = RNG.random((8, 8)), 0.1 + RNG.random((4, 4)) / 2
    codes[7, 2] = 2.5
    curves = {order: np.array([0, middle, 1]) for order, middle in zip(ORDERS, insertion, strict=True)}
    image = RNG.integers(0, 256, (h, w, 3), dtype=np.uint8)
    return Caused("latent 3", image, codes, effect, elsewhere, SHARE, curves)


def told(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_every_image_has_three_pictures_and_its_curves(tmp_path):
    pages = list(cause_pages("a latent", [row() for _ in range(7)]))
    assert [len(figure.axes) - 1 for figure in pages] == [5, 2]
    assert [len(figure.axes[0].images) for figure in pages] == [3 * 5 + 2, 3 * 2 + 2]  # and two keys
    assert "a latent (2 of 2)" in told(pages[1].axes[0])
    for n, figure in enumerate(pages):
        save(figure, tmp_path / f"{n}.png")
    assert list(cause_pages("a latent", [])) == []


@pytest.mark.parametrize("shape", [(64, 64), (96, 48), (40, 80)])
def test_shows_the_image_where_it_fires_and_what_causes_it(shape):
    one = row(*shape)
    (figure,) = cause_pages("a latent", [one])
    sheet, curves = figure.axes
    seen, fires, caused = sheet.images[:3]
    assert np.array_equal(seen.get_array(), one.image)
    assert np.array_equal(fires.get_array(), overlay(one.image, one.codes, 2.5))
    assert np.array_equal(caused.get_array(), overlay(one.image, one.effect, one.effect.max()))
    for shown in (seen, fires, caused):
        left, right, bottom, top = shown.get_extent()
        assert np.isclose((bottom - top) / (right - left), shape[0] / shape[1])
        at = (
            left + (right - left) * 2.5 / 8,
            top + (bottom - top) * 7.5 / 8,
        )  # the middle of the strongest patch
        middles = [(p.get_x() + p.get_width() / 2, p.get_y() + p.get_height() / 2) for p in sheet.patches]
        assert sum(np.allclose(middle, at) for middle in middles) == 2  # black, and white in it
    box = curves.get_position()
    width, height = figure.get_size_inches()
    assert box.x0 * width > right and (1 - box.y1) * height == pytest.approx(top)
    assert box.height * height == pytest.approx(bottom - top)


def test_the_curves_are_those_of_the_legend_with_their_areas():
    one = row(insertion=(1.25, 0.5, 0.25))
    (figure,) = cause_pages("a latent", [one, row()])
    sheet, curves, other = figure.axes
    key = {line.get_label(): line for line in sheet.get_legend().get_lines()}
    for line, (order, (words, _)) in zip(curves.lines, ORDERS.items(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([SHARE, one.insertion[order]]))
        assert to_hex(line.get_color()) == to_hex(key[words].get_color())
        assert line.get_linestyle() == key[words].get_linestyle()
    middles = np.array([1.25, 0.5, 0.25])
    areas = middles / 8 + (middles + 1) / 2 * 0.75
    at = told(sheet).index("area")
    assert told(sheet)[at + 1 : at + 4] == [f"{area:.2f}" for area in areas]
    assert curves.get_ylim() == other.get_ylim() and curves.get_ylim()[1] > 1.25


def test_weak_effects_are_dark_and_the_strongest_is_told_in_numbers():
    one = row(elsewhere=0.123)
    one.effect[:] = [[0.5 * LEAST * 2.5] * 4, [-1] * 4, [1.1 * LEAST * 2.5] * 4, [1.25] * 4]
    (figure,) = cause_pages("a latent", [one])
    sheet = figure.axes[0]
    dark = overlay(one.image, np.zeros((4, 4)), 1)
    caused = sheet.images[2].get_array()
    assert np.array_equal(caused[:32], dark[:32]) and (caused[32:] != dark[32:]).any(2).all()
    assert {
        "largest code 2.5",
        "at most 50 % by one block",
        "12 % of all from where it is silent",
    } <= set(told(sheet))
    nothing = row(elsewhere=None)
    nothing.effect[:] = -1
    (figure,) = cause_pages("a latent", [nothing])
    assert {"at most 0 % by one block", "no block causes it alone"} <= set(told(figure.axes[0]))
    assert np.array_equal(figure.axes[0].images[2].get_array(), overlay(nothing.image, np.zeros((4, 4)), 1))


@pytest.mark.parametrize("shape", [(64, 64), (96, 48), (20, 60)])
def test_words_overlap_nothing(shape, caplog):
    (figure,) = cause_pages(" ".join(ODD) * 9, [row(*shape, elsewhere=1.0), row(*shape, elsewhere=1.0)])
    sheet, *plots = settled(figure).axes
    words = [*sheet.texts, *sheet.get_legend().get_texts(), *(axes.xaxis.label for axes in plots)]
    found, page = boxes(words), figure.get_window_extent()
    assert not overlap(found) and not caplog.records
    for axes in plots:
        drawn = [t for t in axes.get_yticklabels() if t.get_position()[1] <= axes.get_ylim()[1]]
        ticks = boxes([*axes.get_xticklabels(), *drawn])
        assert not any(tick.overlaps(box) for tick in ticks for box in found)
        found += ticks
    assert all(0 <= box.x0 and box.x1 <= page.width and 0 <= box.y0 for box in found)
    pictures = [shown.get_window_extent() for shown in sheet.images]
    assert not any(box.overlaps(picture) for box in found for picture in pictures)
