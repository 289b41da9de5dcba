"""Images that show a concept and images that do not: whether a model knows it at all."""

from pathlib import Path

import numpy as np

from saev.data.decode import decode
from saev.data.listing import File, files_below, is_image
from saev.data.sample import IGNORE, UNKNOWN, Regions, Sample
from saev.errors import SaevError
from saev.files import fingerprint

SIDES = {"positive": 1, "negative": 0}
"""What the end of a folder's name says of the concept before it."""


class SemProbe:
    """Images under `root/<concept>-positive/**` and `root/<concept>-negative/**`, some twenty in each.

    An image says nothing of other concepts, and has no class. It is a cluster, named by its path below
    `root`: so two splits of one folder are known to share it, and no image is judged by what it chose.
    Hidden files and folders and `__MACOSX` are left out, linked folders entered.

    Args:
        root: directory that holds the folders of all concepts.

    Raises:
        SaevError: the directory is missing or holds no images, a folder or an image is of no concept, or a
            concept lacks the images of one side.
    """

    classes = ()
    described = "images"

    def __init__(self, *, root: str):
        self.root, expected = Path(root), f"expected {root}/<concept>-{{positive,negative}}/<image>"
        if not self.root.is_dir():
            raise SaevError(f"{self.root}: no such directory; {expected}")
        found = sorted(files_below(self.root))
        files = [file for file in found if is_image(file.name)]
        if not files:
            raise SaevError(f"{self.root}: no images; {expected}")
        if loose := [file.name for file in files if not _folder(file)]:
            raise SaevError(f"{self.root}: {loose[0]} lies in no folder; {expected}")
        folders = {name: _told(self.root / name) for name in sorted({_folder(file) for file in found} - {""})}
        self._told = [folders[_folder(file)] for file in files]
        self.concepts = tuple(sorted({concept for concept, _ in folders.values()}))
        self._check_sides()
        self.clusters = tuple(file.name for file in files)
        self.fingerprint = fingerprint(["semprobe", 1, files])

    def __len__(self) -> int:
        return len(self.clusters)

    def name(self, i: int) -> str:
        return str(self.root / self.clusters[i])

    def __getitem__(self, i: int) -> Sample:
        image = decode(self.name(i), self.name(i))
        (concept, shown), concepts_rc = self._told[i], np.full((1, len(self.concepts)), UNKNOWN, np.int8)
        concepts_rc[0, self.concepts.index(concept)] = shown
        return Sample(image, IGNORE, regions=Regions(concepts_rc, np.array([i], np.uint32)))

    def _check_sides(self) -> None:
        """Raise SaevError if all images of a concept show it, or none does."""
        there = set(self._told)
        for concept in self.concepts:
            for side, shown in SIDES.items():
                if (concept, shown) not in there:
                    folder = self.root / f"{concept}-{side}"
                    raise SaevError(f"{folder}: no images; a concept needs both sides")


def _folder(file: File) -> str:
    """The first of its path; '' if it lies in none."""
    return file.name.rpartition("/")[0].partition("/")[0]


def _told(folder: Path) -> tuple[str, int]:
    """The concept of a folder, and whether its images show it."""
    concept, _, side = folder.name.rpartition("-")
    if not concept or side not in SIDES:
        raise SaevError(f"{folder}: must be called <concept>-positive or <concept>-negative")
    return concept, SIDES[side]
