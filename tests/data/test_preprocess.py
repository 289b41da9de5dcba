import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from saev.data import Preprocess


def preprocess(size=(64, 64), **options) -> Preprocess:
    return Preprocess(size=size, mean=(0, 0, 0), std=(1, 1, 1), **options)


def coordinates(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red channel is its own row and green its column, and labels that are its row."""
    row, column = np.mgrid[:h, :w].astype(np.uint8)
    return np.stack([row, column, 0 * row], axis=-1), row


def timms(own: Preprocess, interpolation: str | None = None) -> list:
    """The steps on the picture in timm's evaluation transform, before it becomes a tensor."""
    from timm.data import create_transform

    transform = create_transform(
        (3, *own.size),
        is_training=False,
        interpolation=interpolation or own.interpolation,
        crop_pct=own.crop_share,
        crop_mode="squash" if own.squash else "center",
    )
    return transform.transforms[:2]


def open_clips(own: Preprocess) -> list:
    from open_clip.transform import image_transform

    mode = "squash" if own.squash else "shortest"
    transform = image_transform(own.size, is_train=False, interpolation=own.interpolation, resize_mode=mode)
    return transform.transforms[: 1 if own.squash else 2]


def applied(steps: list, image: np.ndarray) -> np.ndarray:
    seen = Image.fromarray(image)
    for step in steps:
        seen = step(seen)
    return np.array(seen)


def resampled(own: Preprocess, image: np.ndarray) -> np.ndarray:
    """(h, w) float32 -> (height, width) float32, out of the box as `crop` does it."""
    top, left, bottom, right = own.box(*image.shape)
    resample = Image.Resampling[own.interpolation.upper()]
    return np.array(Image.fromarray(image).resize(own.size[::-1], resample, box=(left, top, right, bottom)))


SHAPES = {"h": st.integers(1, 300), "w": st.integers(1, 300), "seed": st.integers(0, 9)}
SIZES = st.sampled_from([(32, 32), (32, 48), (50, 34), (112, 112)])


@given(
    **SHAPES,
    size=SIZES,
    share=st.sampled_from([1.0, 0.95, 0.9, 0.875]),
    squash=st.booleans(),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
)
@example(h=1, w=300, seed=0, size=(32, 32), share=1.0, squash=False, interpolation="bicubic")
@example(h=300, w=1, seed=0, size=(32, 48), share=0.9, squash=False, interpolation="bilinear")
@example(h=213, w=150, seed=0, size=(112, 112), share=0.875, squash=False, interpolation="bicubic")
@settings(max_examples=80, deadline=None)
def test_the_box_is_where_timm_resizes_and_crops(h, w, seed, size, share, squash, interpolation):
    """On noise, where a shift by a tenth of a pixel changes values by tens; in floating point, so that
    no rounding between Pillow's two passes hides or adds anything."""
    own = preprocess(size, crop_share=share, squash=squash, interpolation=interpolation)
    noise = np.random.default_rng(seed).uniform(0, 255, (h, w)).astype(np.float32)
    np.testing.assert_allclose(resampled(own, noise), applied(timms(own), noise), atol=0.05)


@given(**SHAPES, size=st.sampled_from([(32, 32), (112, 112)]), squash=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_box_is_where_open_clip_resizes_and_crops(h, w, seed, size, squash):
    own = preprocess(size, squash=squash)
    noise = np.random.default_rng(seed).uniform(0, 255, (h, w)).astype(np.float32)
    np.testing.assert_allclose(resampled(own, noise), applied(open_clips(own), noise), atol=0.05)


@given(**SHAPES, size=SIZES, share=st.sampled_from([1.0, 0.875]), squash=st.booleans())
@settings(max_examples=40, deadline=None)
def test_labels_are_those_of_the_pixels_that_timm_would_pick(h, w, seed, size, share, squash):
    """By the nearest pixel to each centre; 1 apart where a centre lies on an edge between two."""
    own = preprocess(size, crop_share=share, squash=squash)
    for labels in np.mgrid[:h, :w].astype(np.int32):
        picked = applied(timms(own, "nearest"), labels.astype(np.float32))
        assert np.abs(own.crop_labels(labels) - picked).max() <= 1


@pytest.mark.parametrize("shape", [(427, 500), (500, 375), (431, 300), (300, 431), (97, 301), (60, 60)])
@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
@pytest.mark.parametrize("squash", [False, True])
def test_a_photograph_is_cropped_as_timm_does(shape, size, squash):
    """The whole way in uint8; Pillow's order of passes, which follows the shape of the result, is left."""
    image = np.ascontiguousarray(skimage.data.astronaut()[: shape[0], : shape[1]])
    own = preprocess(size, crop_share=0.9, squash=squash)
    difference = np.abs(own.crop(image).astype(int) - applied(timms(own), image).astype(int))
    assert difference.mean() < 0.4 and (difference <= 1).mean() > 0.999


@pytest.mark.parametrize("shape", [(100, 160), (160, 100), (64, 64), (200, 200)])
@pytest.mark.parametrize("crop_share", [1.0, 0.875])
def test_labels_stay_on_their_pixels(shape, crop_share):
    image, labels = coordinates(*shape)
    own = preprocess(crop_share=crop_share, interpolation="bilinear")
    seen, seen_labels = own.crop(image), own.crop_labels(labels)
    assert seen.shape == (64, 64, 3) and seen_labels.shape == (64, 64)
    assert np.abs(seen[..., 0].astype(int) - seen_labels).max() <= 2
    # The crop is centred: its middle is the image's middle, to the whole pixel of the resized image.
    assert seen[31:33, 31:33, 0].mean() == pytest.approx((shape[0] - 1) / 2, abs=3)
    assert seen[31:33, 31:33, 1].mean() == pytest.approx((shape[1] - 1) / 2, abs=3)


@given(
    h=st.integers(1, 900),
    w=st.integers(1, 900),
    size=st.sampled_from([(224, 224), (336, 384), (384, 384)]),
    share=st.sampled_from([1.0, 0.9, 0.875]),
)
@example(h=107, w=500, size=(224, 224), share=1.0)  # boxes that rounding might put 1e-13 px outside,
@example(h=480, w=640, size=(336, 336), share=1.0)  # which Pillow refuses
@example(h=1, w=900, size=(384, 384), share=0.875)
@settings(max_examples=60, deadline=None)
def test_images_of_any_shape_are_cropped(h, w, size, share):
    own = preprocess(size, crop_share=share)
    top, left, bottom, right = own.box(h, w)
    assert 0 <= top < bottom <= h and 0 <= left < right <= w
    assert own.crop(np.zeros((h, w, 3), np.uint8)).shape == (*size, 3)
    assert own.crop_labels(np.zeros((h, w), np.uint16)).shape == size


def test_squash_shows_the_whole_image():
    image, labels = coordinates(100, 160)
    own = preprocess(interpolation="bilinear", squash=True)
    seen, seen_labels = own.crop(image), own.crop_labels(labels)
    assert np.abs(seen[..., 0].astype(int) - seen_labels).max() <= 2
    assert seen[0, 0, :2].max() <= 3 and seen[-1, -1, 0] >= 97 and seen[-1, -1, 1] >= 156


@pytest.mark.parametrize("size", [(224, 224), (64, 96)])
@pytest.mark.parametrize("squash", [False, True])
def test_an_image_of_the_right_size_is_not_resampled(size, squash):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    own = preprocess(size, squash=squash)
    np.testing.assert_array_equal(own.crop(image), image)
    np.testing.assert_array_equal(own.crop_labels(image[..., 0]), image[..., 0])


def test_normalise_subtracts_and_divides_by_channel():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    own = Preprocess(size=(64, 64), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    expected = (image[5, 6] / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.4])
    seen = own.normalise(torch.from_numpy(image)[None])
    torch.testing.assert_close(seen[0, :, 5, 6].double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_all_of_it_is_told_in_one_line():
    own = Preprocess(size=(64, 96), mean=(0.5, 0.4, 0), std=(1, 0.3, 0.4), crop_share=0.875, squash=True)
    assert str(own) == ("64x96 px squashed bicubic, crop 0.875, mean (0.5, 0.4, 0.0), std (1.0, 0.3, 0.4)")
