"""Pixels against Pillow's own conversions and the formulas, and which fault is whose."""

import errno
import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from saev.data import IGNORE, CorruptImage
from saev.data import decode as module
from saev.data.decode import decode, decode_mask, decode_with_mask
from saev.errors import SaevError
from tests.data.images import coordinates, encoded, exif

LOSSLESS = ["PNG", "TIFF", "WEBP"]


def lossless(pixels: np.ndarray, kind: str, **options) -> bytes:
    return encoded(pixels, kind, **({"lossless": True} if kind == "WEBP" else {}), **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG"])
def test_images_stand_upright(kind, orientation):
    data = lossless(coordinates(24, 40), kind, exif=exif(orientation))
    with Image.open(io.BytesIO(data)) as file:
        expected = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    assert expected.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    np.testing.assert_array_equal(decode(data, "x"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("shape", [(6, 10), (8, 8)])
def test_masks_follow_their_image(kind, orientation, shape):
    """The mask is the image's red channel, so it must be so after both were turned."""
    pixels = coordinates(*shape)
    image, mask = lossless(pixels, kind, exif=exif(orientation)), encoded(pixels[..., 0])
    upright, labels = decode_with_mask(image, mask, 256, names=("x", "m"))
    np.testing.assert_array_equal(labels, upright[..., 0])
    assert labels.dtype == np.uint16 and labels.flags.c_contiguous and upright.flags.c_contiguous


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_mask_of_the_upright_image_is_not_turned(kind):
    image = lossless(coordinates(6, 10), kind, exif=exif(6))
    upright = decode(image, "x")
    _, labels = decode_with_mask(image, encoded(upright[..., 0]), 256, names=("x", "m"))
    np.testing.assert_array_equal(labels, upright[..., 0])


def test_a_mask_of_another_size_names_both():
    with pytest.raises(CorruptImage, match="^m: the mask is 7 x 6, its image x 10 x 6$"):
        decode_with_mask(encoded(coordinates(6, 10)), encoded(coordinates(6, 7)[..., 0]), 9, names=("x", "m"))


BROKEN_EXIF = {
    "0": exif(0).tobytes(),
    "9": exif(9).tobytes(),
    "text": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04six\0\0\0\0\0",
    "tags beyond the end": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "cut short": b"Exif\0\0II*\0",
    "no header": b"Exif\0\0nonsense",
}


@pytest.mark.parametrize("fault", BROKEN_EXIF)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_broken_metadata_are_no_broken_image(kind, fault):
    pixels = coordinates(6, 10)
    plain, broken = (
        decode(lossless(pixels, kind, **more), "x") for more in ({}, {"exif": BROKEN_EXIF[fault]})
    )
    np.testing.assert_array_equal(broken, plain)


def ramp(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 256, dtype=np.uint16).reshape(16, 16)


def pgm(deep: np.ndarray, top: int) -> bytes:
    return f"P5 {deep.shape[1]} {deep.shape[0]} {top}\n".encode() + deep.astype(">u2").tobytes()


def white_is_zero(deep: np.ndarray) -> bytes:
    data = bytearray(encoded(deep, "TIFF"))
    tag = data.index(struct.pack("<HHI", 262, 3, 1))
    return bytes(data[: tag + 8] + struct.pack("<I", 0) + data[tag + 12 :])


DEEP = {
    "png": (encoded(ramp(0, 65535)), ramp(0, 65535) / 65535),
    "dark png": (encoded(ramp(0, 1000)), ramp(0, 1000) / 65535),
    "tiff": (encoded(ramp(0, 65535), "TIFF"), ramp(0, 65535) / 65535),
    "tiff, big end first": (encoded(ramp(0, 65535), "TIFF", big_endian=True), ramp(0, 65535) / 65535),
    "tiff, white is zero": (white_is_zero(ramp(0, 65535)), 1 - ramp(0, 65535) / 65535),
    "pgm of 16 bits": (pgm(ramp(0, 65535), 65535), ramp(0, 65535) / 65535),
    "pgm of 12 bits": (pgm(ramp(0, 4095), 4095), ramp(0, 4095) / 4095),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_grey_is_scaled_not_cut_off(name):
    data, light = DEEP[name]
    pixels = decode(data, "x")
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    # To the nearest of 256: Pillow stores a PGM in 16 bits, whence the 1e-5.
    assert np.abs(pixels - 255 * light[..., None]).max() <= 0.5 + 255e-5


def test_transparent_deep_grey_lies_on_white():
    data = encoded(np.array([[0, 700]], np.uint16), transparency=700)
    np.testing.assert_array_equal(decode(data, "x")[0, :, 0], [0, 255])


@pytest.mark.parametrize("pixels", [np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)])
def test_pixels_without_a_range_are_refused(pixels):
    with pytest.raises(CorruptImage, match="x: .* mode '[FI]' have no known range"):
        decode(encoded(pixels, "TIFF"), "x")


@pytest.mark.parametrize(
    ("mode", "kind"), [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF")]
)
def test_transparent_images_lie_on_white(mode, kind):
    """255 (1 - a) + a c, whatever colour hides where a is 0."""
    rng = np.random.default_rng(0)
    channels = rng.integers(0, 256, (16, 16, len(mode)), dtype=np.uint8)
    channels[:4, :, -1], channels[4:8, :, -1] = 0, 255
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode(encoded(channels, kind, **options), "x")
    colour, a = channels[..., :-1].astype(float), channels[..., -1:] / 255
    assert np.abs(pixels - (255 * (1 - a) + a * colour)).max() <= 1
    assert (pixels[:4] == 255).all()
    np.testing.assert_array_equal(pixels[4:8], np.broadcast_to(channels[4:8, :, :-1], (4, 16, 3)))


def palette_image(kind: str, **options) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The file, the indices, and their colours."""
    rng = np.random.default_rng(0)
    indices, colours = (
        rng.integers(0, 4, (8, 9), dtype=np.uint8),
        rng.integers(0, 256, (4, 3), dtype=np.uint8),
    )
    image = Image.fromarray(indices)
    image.putpalette(colours.ravel().tolist())
    return encoded(image, kind, **options), indices, colours[indices]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palettes_are_looked_up(kind):
    data, _, expected = palette_image(kind)
    np.testing.assert_array_equal(decode(data, "x"), expected)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_entry_of_a_palette_is_white(kind):
    data, indices, colours = palette_image(kind, transparency=2)
    expected = np.where(indices[..., None] == 2, 255, colours)
    np.testing.assert_array_equal(decode(data, "x"), expected)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("PNG", "RGB")])
def test_a_transparent_colour_is_white(kind, mode):
    pixels = np.full((4, 4, 3), 90, np.uint8)
    pixels[0] = 7
    image = Image.fromarray(pixels).convert(mode)
    seen = decode(encoded(image, kind, transparency=7 if mode == "L" else (7, 7, 7)), "x")
    np.testing.assert_array_equal(seen[:, 0, 0], [255, 90, 90, 90])


def test_one_bit_is_black_or_white():
    bits = np.random.default_rng(0).random((9, 11)) < 0.5
    for kind in ("PNG", "TIFF", "BMP"):
        seen = decode(encoded(Image.fromarray(bits), kind), "x")
        np.testing.assert_array_equal(seen, np.repeat(bits[..., None] * 255, 3, axis=-1))


@pytest.mark.parametrize("mode", ["L", "CMYK", "YCbCr"])
def test_jpegs_of_other_colours(mode):
    smooth = np.asarray(Image.fromarray(coordinates(8, 8) * 30).resize((64, 64)))
    seen = decode(encoded(Image.fromarray(smooth).convert(mode), "JPEG"), "x")
    expected = np.asarray(Image.fromarray(smooth).convert(mode).convert("RGB"))
    assert np.abs(seen.astype(int) - expected).mean() < 2


def test_cmyk_is_ink_on_paper():
    """255 (1 - c)(1 - k), so no ink is white; Adobe's files hold the inverse, which Pillow turns back."""
    inks = Image.new("CMYK", (16, 16))
    inks.paste((200, 0, 0, 0), (0, 0, 16, 8))
    seen = decode(encoded(inks, "JPEG"), "x").astype(int)
    assert np.abs(seen[:7] - [55, 255, 255]).max() <= 3 and np.abs(seen[9:] - 255).max() <= 3


def test_the_first_frame_of_a_gif():
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data, "x"), np.full((4, 5, 3), [255, 0, 0]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_broken_images_are_corrupt_wherever_they_are_cut(kind):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = encoded(noise, kind)
    assert decode(whole, "x").shape == (40, 40, 3)
    for share in (0, 0.01, 0.3, 0.7):
        with pytest.raises(CorruptImage, match="^seven: cannot be decoded as an image [^<]*$"):
            decode(whole[: int(share * len(whole))], "seven")
    with pytest.raises(CorruptImage, match="cannot be decoded as a mask"):
        decode_mask(whole[:50], "m", 3)


WHOLE = {
    kind: encoded(coordinates(9, 11), kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
}


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_altered_images_are_images_or_corrupt(data):
    """Whatever Pillow raises, and in one line that is the same in every process."""
    altered = bytearray(WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(altered), "x")
    except CorruptImage as error:
        assert str(error).startswith("x: cannot be decoded") and "0x" not in str(error)
        assert len(str(error).splitlines()) == 1
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,)


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.EACCES, errno.ESTALE, errno.EISDIR])
def test_a_failing_disk_is_no_corrupt_image(code, monkeypatch, tmp_path):
    """With corrupt=missing it would be written into a finished store."""

    def fail(*_):
        raise OSError(code, "what the system says")

    monkeypatch.setattr(module, "open", fail, raising=False)
    with pytest.raises(SaevError, match=r"^a\.png: cannot be read \(what the system says\)$") as raised:
        decode(tmp_path / "a.png", "a.png")
    assert not isinstance(raised.value, CorruptImage)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CorruptImage, match=r"a\.png: no such file$"):
        decode(tmp_path / "a.png", tmp_path / "a.png")


def test_names_stay_on_their_line():
    with pytest.raises(CorruptImage) as raised:
        decode(b"", "a\nb\x1b[31m\udcff\u2028.png")
    assert str(raised.value).startswith(r"a\nb\x1b[31m\udcff\u2028.png: cannot")


MASKS = {
    "8 bits": (np.array([[0, 1], [2, 255]], np.uint8), "PNG"),
    "16 bits": (np.array([[0, 1], [2, 65535]], np.uint16), "PNG"),
    "32 bits": (np.array([[0, 1], [-1, 70000]], np.int32), "TIFF"),
}


@pytest.mark.parametrize("name", MASKS)
def test_void_pixels_of_masks_are_ignored(name):
    """255 in an 8-bit mask must not stay 255, which is a class of larger data sets, nor -1 become one."""
    np.testing.assert_array_equal(decode_mask(encoded(*MASKS[name]), "m", 2), [[0, 1], [IGNORE, IGNORE]])


def test_masks_with_a_palette_are_their_indices():
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    np.testing.assert_array_equal(decode_mask(encoded(image), "m", 3), [[0, 1], [2, 1]])


@pytest.mark.parametrize("pixels", [coordinates(4, 4), np.ones((4, 4), np.float32)])
def test_masks_are_one_integer_each(pixels):
    with pytest.raises(CorruptImage, match="m: .*mode '(RGB|F)'; expected one integer each"):
        decode_mask(encoded(pixels, "TIFF"), "m", 3)
