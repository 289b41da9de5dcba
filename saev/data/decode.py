"""Image files -> arrays, with every way in which a file can be broken as one error."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from saev.data.colours import to_rgb
from saev.data.sample import IGNORE
from saev.errors import SaevError, first_line

# EXIF orientation -> how the stored pixels are turned to stand upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


class CorruptImage(SaevError):
    """An image that is not there or cannot be decoded: reading it again would not help."""


def decode(source: str | Path | bytes, name: object) -> np.ndarray:
    """A file or its bytes -> (h, w, 3) uint8, upright and as one sees it; of several frames the first.

    Raises:
        CorruptImage: with `name`.
        SaevError: a disk that fails (or forbids) to read the file: no fault of the image.
    """
    return _decode_upright(source, name)[0]


def decode_with_mask(
    image: str | Path | bytes, mask: str | Path | bytes, n_classes: int, names: tuple[object, object]
) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask -> (h, w, 3) uint8 and (h, w) uint16, both upright.

    A mask says nothing of its orientation. One of the size of the stored pixels is turned as they are, since
    most tools ignore EXIF; one that only fits the upright image is taken as it is.

    Raises:
        CorruptImage: either cannot be decoded, or their sizes differ; with `names` of the image and the mask.
        SaevError: a disk that fails to read them.
    """
    pixels, orientation = _decode_upright(image, names[0])
    labels = decode_mask(mask, names[1], n_classes)
    upright = pixels.shape[:2]
    stored = upright[::-1] if orientation >= 5 else upright
    if labels.shape == stored:
        labels = np.ascontiguousarray(UPRIGHT[orientation](labels))
    if labels.shape != upright:
        raise CorruptImage(
            f"{names[1]}: the mask is {_size(labels.shape)}, its image {names[0]} {_size(upright)}"
        )
    return pixels, labels


def decode_mask(source: str | Path | bytes, name: object, n_classes: int) -> np.ndarray:
    """A single-channel mask -> (h, w) uint16; values that are no class become IGNORE. Raises as `decode`."""
    with _opened(source, name, "a mask") as file:
        file.load()
        mask = np.asarray(file)  # of a palette the indices
        if mask.ndim != 2 or mask.dtype.kind == "f":
            raise ValueError(f"its pixels are of mode {file.mode!r}; expected one integer each")
    mask = mask.astype(np.int64)
    return np.where((mask >= 0) & (mask < n_classes), mask, IGNORE).astype(np.uint16)


def read(
    path: str | Path, name: object, start: int = 0, size: int = -1, absent: type[SaevError] = SaevError
) -> bytes:
    """The bytes of a file, or `size` of them from `start`. Raises SaevError, `absent` if there is no file."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)
    except FileNotFoundError:
        raise absent(f"{name}: no such file") from None
    except OSError as error:
        raise SaevError(f"{name}: cannot be read ({error.strerror})") from None


def _decode_upright(source: str | Path | bytes, name: object) -> tuple[np.ndarray, int]:
    """Upright pixels, and the EXIF orientation in which they were stored."""
    with _opened(source, name, "an image") as file:
        # Pillow itself turns a TIFF, and forgets that it did, as it loads the pixels.
        turned = file.tag_v2.get(ExifTags.Base.Orientation) if isinstance(file, TiffImageFile) else None
        file.load()
        orientation = _orientation(file)
        pixels = np.ascontiguousarray(UPRIGHT[orientation](to_rgb(file)))
    return pixels, turned if orientation == 1 and turned in UPRIGHT else orientation


def _orientation(file: Image.Image) -> int:
    try:
        orientation = file.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken metadata of many kinds, in good images
        return 1
    return orientation if orientation in UPRIGHT else 1


@contextmanager
def _opened(source: str | Path | bytes, name: object, what: str) -> Iterator[Image.Image]:
    # Read before it is decoded, so that a disk's errors and a broken image's are told apart.
    data = source if isinstance(source, bytes) else read(source, name, absent=CorruptImage)
    with warnings.catch_warnings():
        # Pillow warns of odd metadata in millions of good files, and where pixels are lost it raises.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as file:
                yield file
        except MemoryError:  # the machine's fault, not the image's
            raise
        except UnidentifiedImageError:  # its message is the address of an object
            raise CorruptImage(f"{name}: cannot be decoded as {what} (no known image format)") from None
        except Exception as error:
            # Pillow has no error of its own. Of altered files it raised OSError, SyntaxError, ValueError,
            # RuntimeError, TypeError, OverflowError, DecompressionBombError, struct.error, and zlib.error.
            raise CorruptImage(f"{name}: cannot be decoded as {what} ({first_line(error)})") from None


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
