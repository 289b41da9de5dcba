from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saev.data import Mosaic
from saev.data.attributes import ATTRIBUTES, CONCEPTS, FAMILIES, OF_ITSELF
from saev.data.counterfactuals import pair
from saev.data.mosaic import SEALED, held_out
from saev.data.photographs import PHOTOGRAPHS, part_of
from saev.errors import SaevError
from saev.files import digest

scene_numbers = st.tuples(st.sampled_from(["train", "val", "sealed"]), st.integers(0, 60))


def scenes(split: str, **options) -> Mosaic:
    return Mosaic(**{"split": split, "n": 61, "size": 64, **options})


def test_scene_is_a_pure_function_of_seed_split_and_index():
    a, b = scenes("train", n=6), scenes("train", n=100)
    for i in (5, 0, 3):  # order of access must not matter, nor how many scenes there are
        np.testing.assert_array_equal(a[i].image, b[i].image)
    assert not np.array_equal(a[0].pixel_labels, a[1].pixel_labels)
    for other in (scenes("train", seed=1), scenes("val"), scenes("sealed")):
        assert not np.array_equal(a[0].pixel_labels, other[0].pixel_labels)


def test_scenes_have_the_same_bytes_everywhere():
    """Every attribute, on every photograph where it may be, with these versions of numpy and Pillow."""
    pixels = {}
    for name in ATTRIBUTES:
        made = next(scene for scene in map(scenes("val", n=500).scene, range(500)) if _has(scene, name))
        pixels[name] = made.render().image
    assert digest([], pixels)[:16] == "014ea7e99a964ccc"


def _has(scene, name: str) -> bool:
    return any(region.attributes == {name} for region in scene.regions)


@given(scene_numbers)
@settings(max_examples=30, deadline=None)
def test_a_second_rendering_by_hand_agrees(of):
    """Pixel by pixel: the nearest site, its photograph, and the concepts as the definition has them."""
    split, i = of
    scene, sample = scenes(split).scene(i), scenes(split)[i]
    h, w = scene.shape
    assert sample.image.shape == (h, w, 3) and sample.image.dtype == np.uint8
    assert 64 <= min(h, w) <= 80 and max(h, w) <= 96
    for row, column in np.random.default_rng(i).integers(0, (h, w), (40, 2)):
        distances = [
            np.hypot(row + 0.5 - region.site[0] * h, column + 0.5 - region.site[1] * w)
            for region in scene.regions
        ]
        nearest = scene.regions[int(np.argmin(distances))]
        assert sample.regions.of_pixel[row, column] == np.argmin(distances)
        assert Mosaic.classes[sample.pixel_labels[row, column]] == nearest.photograph
        np.testing.assert_array_equal(
            sample.image[row, column], nearest.picture(split, scene.shape)[row, column]
        )
    for region, told, cluster in zip(
        scene.regions, sample.regions.concepts_rc, sample.regions.cluster_r, strict=True
    ):
        assert Mosaic.clusters[cluster] == region.photograph
        for name, value in zip(CONCEPTS, told, strict=True):
            members = FAMILIES.get(name, (name,))
            some = any(member in region.attributes for member in members)
            doubt = any(region.photograph in OF_ITSELF.get(member, ()) for member in members)
            assert value == (-1 if doubt else int(some))
    areas = np.bincount(sample.pixel_labels.ravel())
    assert areas[sample.label] == areas.max()


def test_attributes_are_independent_of_the_photograph():
    """In validation each of the 10 is laid on 15 % of the regions where it may be, one independently of
    another; in training the held-out pairs are never met."""
    regions = [region for i in range(1500) for region in scenes("val", n=1500).scene(i).regions]
    laid = np.array([[name in region.attributes for name in ATTRIBUTES] for region in regions])
    may = np.array(
        [[region.photograph not in OF_ITSELF.get(n, ()) for n in ATTRIBUTES] for region in regions]
    )
    np.testing.assert_allclose(laid.sum(0) / may.sum(0), 0.15, atol=0.025)
    assert abs(np.corrcoef(laid[:, 6:].T) - np.eye(4)).max() < 0.08
    trained = {
        (region.photograph, name)
        for i in range(1500)
        for region in scenes("train", n=1500).scene(i).regions
        for name in region.attributes
    }
    assert not any(held_out(*met) for met in trained)
    seen = {(region.photograph, name) for region in regions for name in region.attributes}
    new = seen - trained
    assert new and all(held_out(*met) for met in new)
    assert all(2 >= sum(held_out(photo, name) for photo in PHOTOGRAPHS) >= 1 for name in ATTRIBUTES)


def test_the_sealed_split_shows_photographs_that_no_other_shows():
    for split in ("train", "val", "sealed"):
        shown = {region.photograph for i in range(60) for region in scenes(split).scene(i).regions}
        assert shown == (set(SEALED) if split == "sealed" else set(PHOTOGRAPHS) - set(SEALED))


@given(scene_numbers)
@settings(max_examples=40, deadline=None)
def test_pairs_differ_in_exactly_one_region_and_one_thing(of):
    split, i = of
    found = pair(scenes(split), i)
    present, absent, control = (scene.render() for scene in (found.present, found.absent, found.control))
    region, c = present.regions.of_pixel, CONCEPTS.index(found.attribute)
    elsewhere = region != found.region
    for twin in (absent, control):
        np.testing.assert_array_equal(twin.regions.of_pixel, region)
        np.testing.assert_array_equal(twin.image[elsewhere], present.image[elsewhere])
        np.testing.assert_array_equal(twin.pixel_labels, present.pixel_labels)
    differ = np.argwhere(present.regions.concepts_rc != absent.regions.concepts_rc)
    assert (
        present.regions.concepts_rc[found.region, c] == 1 and absent.regions.concepts_rc[found.region, c] == 0
    )
    families = {CONCEPTS.index(family) for family, members in FAMILIES.items() if found.attribute in members}
    assert {(found.region, c)} <= {tuple(at) for at in differ.tolist()}
    assert all(at[0] == found.region and at[1] in {c, *families} for at in differ.tolist())
    np.testing.assert_array_equal(present.regions.concepts_rc, control.regions.concepts_rc)
    assert not np.array_equal(control.image[~elsewhere], present.image[~elsewhere])
    assert pair(scenes(split), i) == found


def test_a_refilled_region_shows_another_photograph_in_the_same_place():
    scene = scenes("val").scene(3)
    other = next(name for name in PHOTOGRAPHS if name not in {r.photograph for r in scene.regions})
    before, after = scene.render(), scene.refilled(1, other).render()
    changed = (before.image != after.image).any(2)
    assert changed.any() and (before.regions.of_pixel[changed] == 1).all()
    assert Mosaic.classes[after.regions.cluster_r[1]] == other


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_training_and_validation_share_no_pixel_column(name):
    package, file = PHOTOGRAPHS[name]
    with Image.open(Path(find_spec(package).submodule_search_locations[0], file)) as photograph:
        width, height = photograph.size
    (train, longest), (val, same) = part_of(name, "train"), part_of(name, "val")
    assert longest == pytest.approx(same, rel=0.02) and longest <= 448  # one magnification for both splits
    # Undo the shrinking: side by side the parts are the photograph.
    assert (train.width + val.width) * height / train.height == pytest.approx(width, rel=0.01)


@pytest.mark.parametrize(
    ("option", "value"), [("split", "test"), ("n", 0), ("n", "many"), ("size", 8), ("seed", -1), ("n", True)]
)
def test_bad_options_are_named_and_echoed(option, value):
    with pytest.raises(SaevError, match=f"{option} must be .*{value}"):
        Mosaic(**{"split": "train", "n": 4, option: value})
