"""WebDataset shards: tar files, for disks that are slow with many small ones."""

import os
import re
import tarfile
from glob import glob
from typing import BinaryIO, NamedTuple

import numpy as np

from saev.data.decode import decode, read
from saev.data.listing import is_hidden, is_image, read_lines, stamp
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError, first_line
from saev.files import fingerprint


class WebDataset:
    """Samples `key.jpg` (or .png, .webp) with `key.cls` (an integer), in the order of the shards.

    The shards are read by position, not as a stream: their headers are indexed once (a seek
    per file), then any image is one read. So image i is the same image on every machine, and
    processes can share the work and resume it, which a stream of shuffled shards forbids.

    The key ends at the first dot of the file name, as in the webdataset library; -1 means no label.

    Args:
        shards: glob pattern of uncompressed tar files on a disk that every machine sees.
        classes: text file with one class name per line; null where there are no labels.

    Raises:
        SaevError: no shard matches, one is compressed or cut short, there is no image, one is part of no
            sample, two share a key, or a label is no class.
    """

    def __init__(self, *, shards: str, classes: str | None = None):
        self.shards = sorted(path for path in glob(shards) if os.path.isfile(path))
        if not self.shards:
            raise SaevError(f"{shards}: no shard matches; expected a pattern such as train-*.tar")
        self.classes = () if classes is None else tuple(_class_names(classes))
        samples = [_index(shard, len(self.classes)) for shard in self.shards]
        self.keys = [sample.key for found in samples for sample in found]
        if not self.keys:
            raise SaevError(
                f"{self.shards[0]}: no images in this shard, nor in any other; "
                "expected <key>.jpg and <key>.cls"
            )
        # Shard, offset and size of each image, and its label.
        self.places = np.array([(s, *sample[1:]) for s, found in enumerate(samples) for sample in found])
        files = [[os.path.basename(shard), *stamp(shard)] for shard in self.shards]
        self.fingerprint = fingerprint(
            ["web_dataset", 2, files, self.keys, self.places.tolist(), self.classes]
        )

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, i: int) -> str:
        return f"{self.shards[self.places[i, 0]]}/{self.keys[i]}"

    def __getitem__(self, i: int) -> Sample:
        shard, start, size, label = self.places[i].tolist()
        return Sample(decode(read(self.shards[shard], self.name(i), start, size), self.name(i)), label)


class _Indexed(NamedTuple):
    key: str
    start: int
    size: int
    label: int


def _class_names(path: str) -> list[str]:
    names = read_lines(path, "expected one class name per line")
    if blank := [n for n, name in enumerate(names, 1) if not name.strip()]:
        raise SaevError(f"{path}: line {blank[0]} is blank; expected the name of class {blank[0] - 1}")
    return names


def _index(shard: str, n_classes: int) -> list[_Indexed]:
    """The samples of a shard, in the order of their images or labels, whichever comes first."""
    samples = []
    with open(shard, "rb") as file:
        for key, members in _members_of_keys(shard).items():
            if "image" not in members:
                _check_nothing_is_lost(shard, key, members)
                continue
            label = members.get("cls")
            index = _label(file, shard, label, n_classes) if label and n_classes else IGNORE
            image = members["image"]
            samples.append(_Indexed(key, image.offset_data, image.size, index))
    return samples


def _members_of_keys(shard: str) -> dict[str, dict[str, tarfile.TarInfo]]:
    """key -> kind -> member, the kind being `image` or the extension."""
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    for member in _members(shard):
        parts = [part for part in member.name.split("/") if part not in (".", "..")]
        if member.isdir() or any(map(is_hidden, parts)):
            continue
        folder, slash, file = member.name.rpartition("/")
        stem, _, extension = file.partition(".")
        kind = "image" if "." not in extension and is_image(file) else extension.lower()
        members = found.setdefault(folder + slash + stem, {})
        if kind in ("image", "cls"):
            _check_member(shard, member, members.get(kind))
        members[kind] = member
    return found


def _members(shard: str) -> list[tarfile.TarInfo]:
    try:
        with tarfile.open(shard, "r:") as tar:
            members = tar.getmembers()
            end = tar.offset
        # tarfile takes a file that was cut between two members for a whole one, and stops at a broken header.
        whole = read(shard, shard, end, 1024) == bytes(1024)
    except tarfile.TarError as error:
        raise SaevError(
            f"{shard}: cannot be read as an uncompressed tar file ({first_line(error)})"
        ) from None
    except OSError as error:
        raise SaevError(f"{shard}: cannot be read ({error.strerror})") from None
    if not whole:
        raise SaevError(
            f"{shard}: cut short or damaged: the two empty blocks that end a tar file are not at byte {end}"
        )
    return members


def _check_member(shard: str, member: tarfile.TarInfo, other: tarfile.TarInfo | None) -> None:
    if not member.isreg() or member.issparse():
        raise SaevError(f"{shard}: {member.name} is no regular file; write what it links to into the tar")
    if other is not None:
        raise SaevError(
            f"{shard}: {other.name} and {member.name} have the same key; a sample is one image and one .cls "
            "(other parts have further dots, as a mask <key>.seg.png)"
        )


def _check_nothing_is_lost(shard: str, key: str, members: dict[str, tarfile.TarInfo]) -> None:
    """Raise SaevError if what has no image should have one."""
    names = [member.name for member in members.values()]
    if "cls" in members or any(map(is_image, names)):
        raise SaevError(
            f"{shard}: the sample {key!r} has no image, only {', '.join(names)}; its key ends at the first "
            f"dot, and its image must be {key}.jpg, {key}.png or alike"
        )


def _label(file: BinaryIO, shard: str, member: tarfile.TarInfo, n_classes: int) -> int:
    file.seek(member.offset_data)
    text = file.read(min(member.size, 100)).removeprefix(b"\xef\xbb\xbf").strip()
    if member.size <= 100 and text in (b"", b"-1"):
        return IGNORE
    if member.size <= 100 and re.fullmatch(rb"[0-9]+", text) and int(text) < n_classes:
        return int(text)
    shown = text.decode(errors="replace")[:20]
    raise SaevError(f"{shard}: {member.name} is {shown!r}, expected 0 to {n_classes - 1}, or -1 for no label")
