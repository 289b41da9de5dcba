"""What a request names: an image, and some of its patches. Nothing here is ever a path."""

import re
from typing import NamedTuple

from saev.errors import SaevError

_ADDRESS = re.compile(r"(?P<image>\d{1,9})(\.(?P<region>\d{1,4})\.(?P<attribute>[a-z]{1,30}))?")
_UPLOAD = re.compile(r"upload-[0-9a-f]{16}")
_RUN = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


class Address(NamedTuple):
    """An image of the study by its number; a scene with one attribute of one region toggled; or an upload."""

    image: int = 0
    region: int | None = None
    attribute: str | None = None
    upload: str | None = None


def read_address(text: str) -> Address:
    """`12`, `12.0.text`, or `upload-` and 16 hex digits. Raises SaevError for anything else."""
    if _UPLOAD.fullmatch(text):
        return Address(upload=text)
    if found := _ADDRESS.fullmatch(text):
        region = found["region"]
        return Address(int(found["image"]), None if region is None else int(region), found["attribute"])
    raise SaevError(f"image must be a number, or an upload, got {text[:80]!r}")


def read_patches(text: str, n: int) -> tuple[int, ...]:
    """Of n patches those of a list such as `3,17-20`, in order. Raises SaevError if it is none."""
    patches: set[int] = set()
    for run in filter(None, text.split(",")):
        found = _RUN.fullmatch(run)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if not 0 <= first <= last < n:
            raise SaevError(f"patches must be numbers or runs in [0, {n - 1}], got {run[:40]!r}")
        patches.update(range(first, last + 1))
    return tuple(sorted(patches))
