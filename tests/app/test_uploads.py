"""Images of strangers: as seen, upright, and refused before they cost anything."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from saev.app.kept import Cache, Uploads
from saev.app.uploads import BYTES, check_upload, decode_upload
from saev.errors import SaevError


def pixels(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    return saved(Image.fromarray(pixels(width, height)), "PNG")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""

    def part(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


def test_a_rotated_photograph_stands_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored lying on its left side
    grey = np.zeros((8, 16, 3), np.uint8)
    grey[:, 8:] = 255
    data = saved(Image.fromarray(grey), "PNG", exif=exif)
    assert np.array_equal(decode_upload(data), np.rot90(grey, -1))


def test_an_image_in_printing_inks_is_seen_in_its_colours():
    red = Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK")
    seen = decode_upload(saved(red, "JPEG", quality=95))
    assert np.abs(seen.astype(int) - (250, 10, 10)).max() < 12


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"no image", "no image that could be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image that could be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image that could be read"),
        (b"0" * (BYTES + 1), "at most"),
        (bomb(10_000, 10_000), "10000 x 10000 pixels"),
        (bomb(2**30, 2**30), "too many pixels"),
        (png(40, 40)[:200], "cannot be decoded"),
    ],
    ids=["empty", "words", "eps", "svg", "bytes", "bomb", "huge", "truncated"],
)
def test_what_is_no_image_is_refused_in_a_line(data, words):
    with pytest.raises(SaevError) as error:
        decode_upload(data)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_bomb_is_refused_unopened(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(SaevError, match="pixels"):
        check_upload(bomb(7000, 7000))


def test_uploads_are_kept_up_to_their_bytes_and_the_oldest_go():
    uploads = Uploads(most=100)
    names = [uploads.add(bytes([i]) * 40) for i in range(4)]
    assert len(uploads) == 2 and uploads.get(names[3]) == b"\3" * 40
    with pytest.raises(SaevError, match="choose the file again"):
        uploads.get(names[0])


def test_a_cache_keeps_what_was_asked_for_last():
    cache, made = Cache(2), []

    def make(key):
        return cache.get(key, lambda: made.append(key) or key)

    for key in "abacab":
        make(key)
    assert made == ["a", "b", "c", "b"] and len(cache) == 2
