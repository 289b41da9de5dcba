"""WebDataset shards: tar files, for disks that are slow with many small ones."""

import os
import tarfile
from glob import glob
from pathlib import Path

import numpy as np

from saev.data.decode import CorruptImage, decode
from saev.data.folder import EXTENSIONS
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError
from saev.files import fingerprint


class WebDataset:
    """Samples `key.jpg` (or .png, .webp) with `key.cls` (an integer), in the order of the shards.

    The shards are read by position, not as a stream: their headers are indexed once (a seek
    per file), then any image is one read. So image i is the same image on every machine, and
    processes can share the work and resume it, which a stream of shuffled shards forbids.

    Args:
        shards: glob pattern of uncompressed tar files on a disk that every machine sees.
        classes: text file with one class name per line; null where there are no labels.

    Raises:
        SaevError: no shard matches, one is compressed or cut short, or there is no image.
    """

    def __init__(self, *, shards: str, classes: str | None = None):
        self.shards = sorted(glob(shards))
        if not self.shards:
            raise SaevError(f"{shards}: no shard matches")
        if classes is not None and not Path(classes).is_file():
            raise SaevError(f"{classes}: no such file; expected one class name per line")
        self.classes = () if classes is None else tuple(Path(classes).read_text().splitlines())
        self.keys: list[str] = []
        places: list[
            tuple[int, int, int, int, int]
        ] = []  # shard, then offset and size of the image and of its label
        for s, shard in enumerate(self.shards):
            for key, image, label in _index(shard):
                self.keys.append(key)
                places.append((s, *image, *label))
        if not places:
            raise SaevError(
                f"{self.shards[0]}: no images in this shard, nor in any other; expected <key>.jpg and <key>.cls"
            )
        self.places = np.array(places)
        self.fingerprint = fingerprint(["web_dataset", 1, self.keys, self.places.tolist(), self.classes])

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, i: int) -> str:
        return f"{self.shards[self.places[i, 0]]}/{self.keys[i]}"

    def __getitem__(self, i: int) -> Sample:
        shard, at, size, label_at, label_size = self.places[i].tolist()
        with open(self.shards[shard], "rb") as file:
            file.seek(at)
            image = file.read(size)
            file.seek(label_at)
            text = file.read(label_size)
        return Sample(decode(image, self.name(i)), self._label(text, i))

    def _label(self, text: bytes, i: int) -> int:
        if not self.classes or not text:
            return IGNORE
        if not text.strip().isdigit() or int(text) >= len(self.classes):
            raise CorruptImage(
                f"{self.name(i)}: label is {text.decode(errors='replace')!r}, expected 0 to {len(self.classes) - 1}"
            )
        return int(text)


def _index(shard: str) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """(key, (offset, size) of its image, (offset, size) of its label or (0, 0)), in the order of the images."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                # The key ends at the first dot of the file name, as in the webdataset library.
                folder, slash, file = member.name.rpartition("/")
                key, _, extension = file.partition(".")
                kind = "image" if f".{extension.lower()}" in EXTENSIONS else extension
                found.setdefault(folder + slash + key, {})[kind] = (member.offset_data, member.size)
    except tarfile.TarError as error:
        raise SaevError(f"{shard}: cannot be read as an uncompressed tar file ({error})") from None
    with open(shard, "rb") as file:  # tarfile takes a file that was cut between two members for a whole one
        file.seek(max(0, os.path.getsize(shard) - 1024))
        if file.read() != bytes(1024):
            raise SaevError(f"{shard}: cut short: the two empty blocks that end a tar file are missing")
    return [
        (key, parts["image"], parts.get("cls", (0, 0))) for key, parts in found.items() if "image" in parts
    ]
