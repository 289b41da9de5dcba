import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.data import Mosaic
from saev.data.mosaic import PHOTOGRAPHS, _part, _voronoi
from saev.errors import SaevError


def test_scene_is_a_pure_function_of_seed_split_and_index():
    a, b = Mosaic(split="train", n=6, size=64), Mosaic(split="train", n=100, size=64)
    for i in (5, 0, 3):  # order of access must not matter, nor how many scenes there are
        np.testing.assert_array_equal(a[i].image, b[i].image)
    assert not np.array_equal(a[0].image, a[1].image)
    assert not np.array_equal(a[0].image, Mosaic(split="train", n=6, size=64, seed=1)[0].image)
    assert not np.array_equal(a[0].image, Mosaic(split="val", n=6, size=64)[0].image)


@given(st.integers(0, 30))
@settings(max_examples=10, deadline=None)
def test_labels_say_what_the_image_shows(i):
    sample = Mosaic(split="val", n=31, size=64)[i]
    classes, area = np.unique(sample.pixel_labels, return_counts=True)
    assert 1 <= len(classes) <= 5 and classes.max() < 16
    assert sample.label == classes[area.argmax()] or (area == area.max()).sum() > 1
    assert sample.image.shape == (64, 64, 3) and sample.image.dtype == np.uint8


def test_regions_are_voronoi_cells():
    sites = np.array([[3.0, 4.0], [20.0, 9.0], [11.0, 30.0]])
    region = _voronoi(sites, 32)
    for row, column in ((0, 0), (31, 31), (15, 16), (20, 3)):
        distance = [np.hypot(row + 0.5 - y, column + 0.5 - x) for y, x in sites]
        assert region[row, column] == int(np.argmin(distance))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_splits_share_no_pixel_column(name):
    from importlib.util import find_spec
    from pathlib import Path

    from PIL import Image

    package, file = PHOTOGRAPHS[name]
    with Image.open(Path(find_spec(package).submodule_search_locations[0], file)) as photograph:
        width, height = photograph.size
    (train, longest), (val, same) = _part(name, "train"), _part(name, "val")
    assert longest == pytest.approx(same, rel=0.02) and longest <= 448  # one magnification for both splits
    # Undo the shrinking: side by side the parts are the photograph.
    assert (train.width + val.width) * height / train.height == pytest.approx(width, rel=0.01)


@pytest.mark.parametrize(
    ("option", "value"), [("split", "test"), ("n", 0), ("n", "many"), ("size", 8), ("seed", -1), ("n", True)]
)
def test_bad_options_are_named_and_echoed(option, value):
    with pytest.raises(SaevError, match=f"{option} must be .*{value}"):
        Mosaic(**{"split": "train", "n": 4, option: value})
