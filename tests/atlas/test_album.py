"""Sprite sheets: every image in its place, the same bytes each time, and one sheet in memory."""

import tracemalloc

import numpy as np
from PIL import Image

from saev.atlas import kept, write_album
from saev.atlas.album import SIDE

COLOURS = np.random.default_rng(0).integers(0, 256, (1000, 3), np.uint8)


def plain(i: int) -> np.ndarray:
    """One colour each."""
    return np.broadcast_to(COLOURS[i], (60, 40, 3))


def test_each_image_is_where_the_page_looks_for_it(tmp_path):
    ids = np.array([3, 5, 8, 100, 101, 102, 103, 200, 201, 202, 203, 300, 301, 302, 303, 304, 999])
    album = write_album(tmp_path, "0", plain, ids, 30)
    assert (album["width"], album["height"], album["side"]) == (20, 30, SIDE)
    for place, i in enumerate(ids):
        sheet = np.asarray(Image.open(tmp_path / "s/0" / f"{place // SIDE**2}.webp").convert("RGB")).astype(
            int
        )
        row, column = divmod(place % SIDE**2, SIDE)
        middle = sheet[row * 30 + 15, column * 20 + 10]
        assert np.abs(middle - COLOURS[i]).max() < 12  # lossy
    assert len(list((tmp_path / "s/0").iterdir())) == 2


def test_a_small_image_is_not_enlarged(tmp_path):
    assert write_album(tmp_path, "0", plain, np.arange(2), 500)["height"] == 60


def test_an_album_has_the_same_bytes_each_time(tmp_path):
    for name in "ab":
        write_album(tmp_path, name, plain, np.arange(20), 30)
    for one, other in zip(*(sorted((tmp_path / "s" / name).iterdir()) for name in "ab"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_memory_does_not_grow_with_the_images(tmp_path):
    peaks = []
    for n in (64, 512):
        tracemalloc.start()
        write_album(tmp_path, str(n), lambda i: plain(i).copy(), np.arange(n), 30)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 50_000


def test_the_least_dispensable_images_are_kept():
    wanted = [np.array([5, 1, -1]), np.array([1, 9]), np.array([2, 3])]
    assert kept(wanted, 100).tolist() == [1, 2, 3, 5, 9]
    assert kept(wanted, 4).tolist() == [1, 2, 5, 9]
    assert kept(wanted, 1).tolist() == [1]
    assert kept([np.array([-1])], 3).tolist() == []
