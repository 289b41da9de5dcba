import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saev.data import Preprocess


def coordinates(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red channel is its own row and green its column, and labels that are its row."""
    row, column = np.mgrid[:h, :w].astype(np.uint8)
    return np.stack([row, column, 0 * row], axis=-1), row


@pytest.mark.parametrize("shape", [(100, 160), (160, 100), (64, 64), (200, 200)])
@pytest.mark.parametrize("crop_share", [1.0, 0.875])
def test_labels_stay_on_their_pixels(shape, crop_share):
    image, labels = coordinates(*shape)
    preprocess = Preprocess(
        size=(64, 64), mean=(0, 0, 0), std=(1, 1, 1), crop_share=crop_share, interpolation="bilinear"
    )
    seen, seen_labels = preprocess.crop(image), preprocess.crop_labels(labels)
    assert seen.shape == (64, 64, 3) and seen_labels.shape == (64, 64)
    assert np.abs(seen[..., 0].astype(int) - seen_labels).max() <= 2
    # The crop is centred: its middle is the image's middle.
    assert seen[31:33, 31:33, 0].mean() == pytest.approx((shape[0] - 1) / 2, abs=1.5)
    assert seen[31:33, 31:33, 1].mean() == pytest.approx((shape[1] - 1) / 2, abs=1.5)


@given(
    h=st.integers(1, 900),
    w=st.integers(1, 900),
    size=st.sampled_from([224, 336, 384]),
    share=st.sampled_from([1.0, 0.9, 0.875]),
)
@example(
    h=107, w=500, size=224, share=1.0
)  # rounding once put these boxes 1e-13 px outside, which Pillow refuses
@example(h=480, w=640, size=336, share=1.0)
@settings(max_examples=60, deadline=None)
def test_images_of_any_shape_are_cropped(h, w, size, share):
    preprocess = Preprocess(size=(size, size), mean=(0, 0, 0), std=(1, 1, 1), crop_share=share)
    assert preprocess.crop(np.zeros((h, w, 3), np.uint8)).shape == (size, size, 3)
    assert preprocess.crop_labels(np.zeros((h, w), np.uint16)).shape == (size, size)


def test_squash_shows_the_whole_image():
    image, labels = coordinates(100, 160)
    preprocess = Preprocess(
        size=(64, 64), mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", squash=True
    )
    seen, seen_labels = preprocess.crop(image), preprocess.crop_labels(labels)
    assert np.abs(seen[..., 0].astype(int) - seen_labels).max() <= 2
    assert seen[0, 0, :2].max() <= 3 and seen[-1, -1, 0] >= 97 and seen[-1, -1, 1] >= 156


def test_an_image_of_the_right_size_is_not_resampled():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    preprocess = Preprocess(size=(64, 64), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    np.testing.assert_array_equal(preprocess.crop(image), image)
    expected = (image[5, 6] / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.4])
    seen = preprocess.normalise(torch.from_numpy(image)[None])
    torch.testing.assert_close(seen[0, :, 5, 6].double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
