import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.image import imread

from saev.report import EditedMap, map_pages, save
from saev.report.maps import NAMED
from saev.report.regions import OTHERS, draw_outline
from saev.report.style import sheet
from tests.report.looking import boxes, overlap, settled
from tests.report.test_lettering import ODD

RNG = np.random.default_rng(0)


def row(n_classes: int, name: str, target: int, shape=(8, 8)) -> EditedMap:
    before, after, control = (RNG.integers(0, n_classes, shape) for _ in range(3))
    before[0, :4] = target
    return EditedMap(name, (7,), RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), before, after, control)


def names(n: int) -> list[str]:
    return [f"class {i}" for i in range(n)]


@pytest.mark.parametrize("n", [1, 2, 16, 25, 150])
def test_a_class_has_one_colour_on_a_page_and_no_other_class_has_it(n, tmp_path):
    rows = [row(n, f"class {c}", c) for c in range(min(n, 7))]
    pages = list(map_pages(rows, names(n), "set to -1 x its maximum"))
    assert len(pages) == -(-len(rows) // 6)
    for page, figure in enumerate(pages):
        (axes,) = figure.axes
        of: dict[int, set[str]] = {}
        maps = iter(image.get_array() for image in axes.images)
        for edited in rows[6 * page : 6 * page + 6]:
            assert np.array_equal(next(maps), edited.image)  # exactly what the model saw
            for classes_hw in (edited.before, edited.after, edited.control):
                for c, colour in zip(classes_hw.ravel(), next(maps).reshape(-1, 3), strict=True):
                    of.setdefault(int(c), set()).add(to_hex(colour))
        named = {c: colours - {OTHERS} for c, colours in of.items() if colours != {OTHERS}}
        assert all(len(colours) == 1 for colours in named.values())
        assert len({colour for colours in named.values() for colour in colours}) == len(named)
        swatches = {to_hex(patch.get_facecolor()) for patch in axes.patches}
        assert swatches - {OTHERS} == {colour for colours in named.values() for colour in colours}
        told = {text.get_text() for text in axes.texts}
        assert {f"class {c}" for c in named} <= told
        save(figure, tmp_path / f"{page}.png")


def test_colours_in_the_png_are_those_of_the_legend(tmp_path):
    edited = row(2, "class 1", 1, (4, 4))
    (figure,) = map_pages([edited], names(2), "set to 0")
    (axes,) = figure.axes
    save(figure, tmp_path / "a.png", dpi=100)
    pixels = imread(tmp_path / "a.png")[..., :3]
    marks = {text.get_text(): text for text in axes.texts}
    swatch = {}
    for c in (0, 1):
        y = marks[f"class {c}"].get_position()[1]
        (patch,) = (p for p in axes.patches if abs(p.get_y() + p.get_height() / 2 - y) < 0.01)
        swatch[c] = np.array(patch.get_facecolor()[:3])
    left, right, bottom, top = axes.images[1].get_extent()
    for (i, j), c in np.ndenumerate(edited.before):
        x, y = left + (right - left) * (j + 0.2) / 4, top + (bottom - top) * (i + 0.2) / 4
        assert np.allclose(pixels[int(100 * y), int(100 * x)], swatch[c], atol=0.01)


def test_a_line_names_the_largest_classes_and_always_the_edited_one():
    edited = row(150, "class 149", 149, (16, 16))
    edited.before[0, 1:4] = 0  # one patch is of the class, and many classes have more
    (figure,) = map_pages([edited], names(150), "set to 0")
    told = [text.get_text() for text in figure.axes[0].texts]
    assert len(figure.axes[0].patches) == NAMED + 1 and "class 149" in told
    assert any(text.endswith("others") for text in told)


def test_the_counts_are_those_of_the_maps():
    edited = row(3, "class 2", 2)
    (figure,) = map_pages([edited], names(3), "set to 0")
    told = [text.get_text() for text in figure.axes[0].texts]
    own = edited.before == 2
    for changed in (edited.after != edited.before, edited.control != edited.before):
        assert f"{(changed & own).sum()} of {own.sum()} of the class changed" in told
        assert f"{(changed & ~own).sum()} of {(~own).sum()} others changed" in told
    at = told.index("class 2")
    assert told[at + 1 : at + 4] == [
        str((m == 2).sum()) for m in (edited.before, edited.after, edited.control)
    ]


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 999))
def test_the_outline_is_as_long_as_the_border(rows, columns, seed):
    inside = np.random.default_rng(seed).random((rows, columns)) < 0.5
    _, axes = sheet(1, 1)
    draw_outline(axes, inside, (0, 0, 1, 1))
    border = sum(
        not (0 <= i + di < rows and 0 <= j + dj < columns and inside[i + di, j + dj])
        for i, j in np.argwhere(inside)
        for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0))
    )
    for lines in (c for c in axes.collections if isinstance(c, LineCollection)):
        assert len(lines.get_segments()) == border


def test_image_tasks_are_told_in_words(tmp_path):
    image = RNG.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    one = EditedMap("cat", (3,), image, np.array([[0]]), np.array([[1]]), np.array([[0]]))
    (figure,) = map_pages([one] * 3, ["cat", "dog"], "set to 0")
    (axes,) = figure.axes
    assert all(np.array_equal(shown.get_array(), image) for shown in axes.images) and len(axes.images) == 3
    told = [text.get_text() for text in axes.texts]
    at = told.index("predicted")
    assert told[at : at + 6] == [
        "predicted",
        "cat",
        "after the edit",
        "dog (changed)",
        "after the control",
        "cat",
    ]
    save(figure, tmp_path / "a.png")


def test_odd_names_overlap_nothing(tmp_path, caplog):
    rows = [row(len(ODD), name, c) for c, name in enumerate(ODD[:6])]
    (figure,) = map_pages(rows, ODD, "$x_{$ " * 99)
    save(figure, tmp_path / "a.png")
    settled(figure)
    words = [
        text for text in figure.axes[0].texts if not text.get_text().isdigit()
    ]  # numbers are within maps
    assert not overlap(boxes(words)) and not caplog.records
    assert max(box.x1 for box in boxes(words)) <= figure.get_window_extent().width
