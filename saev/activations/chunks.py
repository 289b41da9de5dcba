"""Chunk files as they lie on the disk: the values, row after row, then their CRC32C in four bytes.

That is all an uncompressed Zarr chunk is, so a chunk is one read into memory that is
already there. Going through zarr costs a copy and a fresh 6 MB buffer per chunk, half the
speed of the shuffled stream from the page cache and from a disk; and zarr reads a chunk
that is missing as zeros.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

import google_crc32c
import numpy as np
import zarr
from zarr.storage import LocalStore

from saev.errors import SaevError

Item = TypeVar("Item")
Result = TypeVar("Result")


def folder(of: zarr.Array | zarr.Group) -> Path:
    """Where an array or a group of this disk lies."""
    return cast(LocalStore, of.store).root / of.path


def chunk_file(array: zarr.Array, c: int) -> Path:
    """Where the c-th chunk of whole images of an array on this disk lies."""
    return folder(array) / array.metadata.encode_chunk_key((c, *[0] * (array.ndim - 1)))


def checksum(file: Path) -> int:
    """The CRC32C that was written with a chunk. Raises SaevError if the file is missing or too short."""
    try:
        with open(file, "rb", buffering=0) as handle:
            handle.seek(-4, os.SEEK_END)
            return int.from_bytes(handle.read(4), "little")
    except FileNotFoundError:
        raise SaevError(f"{file}: damaged: this chunk is missing; record the store again") from None
    except OSError:  # there is nothing four bytes before the end
        raise SaevError(f"{file}: damaged: no checksum in it; record the store again") from None


def read_chunk(file: Path, out: np.ndarray, expected: int) -> None:
    """Fill the contiguous array `out` from a chunk file and verify it.

    Args:
        expected: the checksum of the chunk that belongs in this place; a chunk of another place is as whole
            as this one.

    Raises:
        SaevError: the file is missing, of another size, not as it was written, or another chunk's.
    """
    raw = out.reshape(-1).view(np.uint8)
    try:
        with open(file, "rb", buffering=0) as handle:
            n = 0
            while n < len(raw) and (more := handle.readinto(raw[n:].data)):  # one call reads 2 GiB at most
                n += more
            found = handle.read(5)  # one byte more than there should be
    except FileNotFoundError:
        raise SaevError(f"{file}: damaged: this chunk is missing; record the store again") from None
    if n != len(raw) or len(found) != 4:
        raise SaevError(
            f"{file}: damaged: {os.path.getsize(file)} bytes, expected {len(raw) + 4}; record the store again"
        )
    stored = int.from_bytes(found, "little")
    if google_crc32c.value(raw) != stored:
        raise SaevError(f"{file}: damaged: its bytes are not those that were written; record the store again")
    if stored != expected:
        raise SaevError(f"{file}: damaged: it holds the values of another chunk; record the store again")


def read_soon(file: Path) -> None:
    """Tell the kernel to fetch a file while something else is done. (Where it can be told.)"""
    if hasattr(os, "posix_fadvise") and file.is_file():
        with open(file, "rb", buffering=0) as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield read(item) for every item, in order, while a thread is already at the next one."""
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for item in items:
            following = reader.submit(read, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
