import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from pipeline.pictures import title
from saev.report import Exemplars, exemplar_pages, save
from saev.report.exemplars import number
from saev.report.heat import heat, overlay
from tests.report.looking import boxes, overlap, settled
from tests.report.test_lettering import ODD

RNG = np.random.default_rng(0)


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels @ (0.299, 0.587, 0.114)


def picture(h=64, w=64) -> np.ndarray:
    return RNG.integers(0, 256, (h, w, 3), dtype=np.uint8)


@settings(deadline=None)
@given(st.data())
def test_the_lightest_patch_is_where_the_code_is_largest(data):
    rows, columns = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), "grid")
    h, w = rows * data.draw(st.integers(3, 8)), columns * data.draw(st.integers(3, 8))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    codes = rng.random((rows, columns)) * 0.7
    row, column = data.draw(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)), "strongest")
    codes[row, column] = 1.0
    light = luma(overlay(image, codes, 1.0)).reshape(rows, h // rows, columns, w // columns).mean((1, 3))
    assert np.unravel_index(light.argmax(), light.shape) == (row, column)


def test_a_stronger_code_is_lighter_and_silence_darkest_whatever_the_image():
    shares = np.linspace(0.01, 1, 50)
    for grey in (0.0, 0.5, 1.0):
        assert (np.diff(luma(heat(shares, grey))) > 0).all()
    assert luma(heat(np.zeros(1), 1.0))[0] < luma(heat(np.full(1, 0.001), 0.0))[0]


def test_patches_are_not_smoothed():
    codes = np.array([[0.0, 1.0], [0.5, 0.0]])
    lit = overlay(np.full((8, 12, 3), 200, np.uint8), codes, 1.0)
    for row, column in np.ndindex(2, 2):
        patch = lit[4 * row : 4 * row + 4, 6 * column : 6 * column + 6].reshape(-1, 3)
        assert (patch == patch[0]).all()


@pytest.mark.parametrize("shape", [(64, 64), (96, 48), (40, 80)])
def test_shows_what_the_model_saw_and_frames_the_strongest_patch(shape):
    image, codes = picture(*shape), np.zeros((4, 8))
    codes[3, 5] = 2.5
    (figure,) = exemplar_pages([Exemplars("a latent", [image], [codes])])
    (axes,) = figure.axes
    crop, lit = axes.images[:2]
    assert np.array_equal(crop.get_array(), image)
    assert np.array_equal(lit.get_array(), overlay(image, codes, 2.5))
    assert crop.get_extent()[2:] == lit.get_extent()[2:] and crop.get_extent()[1] < lit.get_extent()[0]
    assert "2.5" in [text.get_text() for text in axes.texts]
    for shown in (crop, lit):
        left, right, bottom, top = shown.get_extent()
        assert np.isclose((bottom - top) / (right - left), shape[0] / shape[1])
        centre = left + (right - left) * 5.5 / 8, top + (bottom - top) * 3.5 / 4
        frames = [p for p in axes.patches if isinstance(p, Rectangle)]
        middles = [(p.get_x() + p.get_width() / 2, p.get_y() + p.get_height() / 2) for p in frames]
        assert sum(np.allclose(middle, centre) for middle in middles) == 2  # black, and white in it


def test_pages_hold_twelve_rows_and_missing_exemplars_stay_white(tmp_path):
    full = Exemplars("full", [picture() for _ in range(3)], [RNG.random((4, 4)) for _ in range(3)])
    rows = [full, Exemplars("one", full.images[:1], full.codes[:1]), Exemplars("none", [], [])]
    figures = list(exemplar_pages(rows * 9))
    assert [len(f.axes[0].images) for f in figures] == [(4 * (6 + 2)) + 2, (4 * (6 + 2)) + 2, 8 + 2]
    first, *_ = figures
    assert "1 of 3" in first.axes[0].texts[0].get_text()
    save(first, tmp_path / "a.png", dpi=100)
    pixels = imread(tmp_path / "a.png")[..., :3]
    left, right, bottom, top = first.axes[0].images[4].get_extent()  # of the full row's last crop
    line = first.axes[0].images[6].get_extent()[3] - top
    below = pixels[
        int(100 * (top + line)) + 2 : int(100 * (bottom + line)) - 2, int(100 * left) : int(100 * right)
    ]
    assert below.size and (below == 1).all()
    assert not overlap(boxes(settled(first).axes[0].texts))


def test_whole_images_are_shown_without_a_map():
    row = Exemplars("a latent", [picture(), picture()], [np.full((1, 1), 2.0), np.full((1, 1), 1.0)])
    (figure,) = exemplar_pages([row])
    crop, bar, second, weaker, *_ = (image.get_array() for image in figure.axes[0].images)
    assert np.array_equal(crop, row.images[0]) and np.array_equal(second, row.images[1])
    assert bar.shape == weaker.shape == (1, 1, 3) and luma(bar)[0, 0] > luma(weaker)[0, 0]
    assert not figure.axes[0].patches


def test_silent_rows_odd_titles_and_no_rows(tmp_path, caplog):
    silent = [Exemplars(name, [picture()], [np.zeros((4, 4))]) for name in ODD]
    (figure,) = exemplar_pages(silent)
    save(figure, tmp_path / "a.png")
    width = figure.get_window_extent().width
    assert all(box.x1 <= width for box in boxes(settled(figure).axes[0].texts)) and not caplog.records
    assert list(exemplar_pages([])) == []


def test_numbers_are_short():
    assert [number(v) for v in (0, 0.01234, 5.8, 123.4, 1336.2)] == ["0", "0.0123", "5.8", "123", "1,336"]


def test_a_latent_that_beats_no_null_is_called_so():
    row = {"name": "cat", "latent": 3, "f1": 0.456}
    assert title({**row, "q": 0.01}) == "cat: latent 3, F1 0.46"
    assert title({**row, "q": 0.2}) == title({**row, "q": None}) == "cat: latent 3, F1 0.46, by chance"
