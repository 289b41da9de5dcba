"""CUB-200-2011: birds with 312 binary attributes each."""

import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from saev.checks import check_choice
from saev.data.decode import decode
from saev.data.listing import read_lines, stamp
from saev.data.sample import UNKNOWN, Regions, Sample
from saev.errors import SaevError
from saev.files import fingerprint

TOLD = re.compile(r"\s*(\d{1,9}\s+){3}\d{1,9}(\s.*)?|\s*", re.ASCII)
"""A line of image_attribute_labels.txt: image, attribute, 0 or 1, certainty, seconds; a few of the original
have more columns at the end."""


class Attributes(NamedTuple):
    """What annotators saw."""

    names: tuple[str, ...]
    """`has_bill_shape::curved` and so on."""
    present: np.ndarray
    """(n_images, n_attributes) bool."""
    certainty: np.ndarray
    """(n_images, n_attributes) uint8: 1 not visible, 2 guessing, 3 probably, 4 definitely; 0 nothing."""


class Cub:
    """The layout of CUB_200_2011; every pixel carries the class of its image.

        root/images.txt  image_class_labels.txt  classes.txt  train_test_split.txt  images/
        root/attributes/image_attribute_labels.txt, attributes.txt (there or beside root)

    Args:
        root: directory of the data set.
        split: `train`, `test`, or `all`.
        certainty: attributes are concepts of images, known where the annotator was at least so certain; None:
            there are no concepts.

    Raises:
        SaevError: a list is missing, is not UTF-8, or a line of it cannot be read.
    """

    described: Literal["images"] | None = None
    concepts: tuple[str, ...] = ()
    clusters = ()

    def __init__(
        self,
        *,
        root: str,
        split: Literal["train", "test", "all"],
        certainty: Literal[2, 3, 4] | None = None,
    ):
        check_choice("split", split, ("train", "test", "all"))
        check_choice("certainty", certainty, (None, 2, 3, 4))
        self.root = Path(root)
        names = dict(_rows(self.root / "classes.txt"))
        labels = dict(_rows(self.root / "image_class_labels.txt"))
        is_train = dict(_rows(self.root / "train_test_split.txt"))
        wanted = {"train": ("1",), "test": ("0",), "all": ("0", "1")}[split]
        try:
            class_ids = sorted(names, key=int)
            self.files = [
                (i, file, class_ids.index(labels[i]))
                for i, file in _rows(self.root / "images.txt")
                if is_train[i] in wanted
            ]
        except (KeyError, ValueError) as error:
            raise SaevError(
                f"{self.root}: the lists of images, labels, classes and splits do not agree ({error})"
            ) from None
        self.classes = tuple(names[i] for i in class_ids)
        if not self.files:
            raise SaevError(f"{self.root / 'train_test_split.txt'}: no image of split {split!r}")
        stamps = [stamp(self.name(i)) for i in range(len(self.files))]
        made_of = ["cub", 2, self.classes, self.files, stamps]
        if certainty is not None:
            self.described = "images"
            self.concepts, present, sure = self.attributes
            self._concepts = np.where(sure >= certainty, present, UNKNOWN).astype(np.int8)
            made_of += [certainty, self.concepts, stamp(self._attribute_labels)]
        self.fingerprint = fingerprint(made_of)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.root / "images" / self.files[i][1])

    def __getitem__(self, i: int) -> Sample:
        sample = Sample(decode(self.name(i), self.name(i)), self.files[i][2])
        if self.described is None:
            return sample
        return sample._replace(regions=Regions(self._concepts[[i]], np.array([i], np.uint32)))

    @cached_property
    def attributes(self) -> Attributes:
        """The attributes of every image, in the order of the images. Raises SaevError as the class does."""
        rows = _rows(self._attribute_names())
        image_n, attribute_n, present_n, certainty_n = _told(self._attribute_labels).T
        row_n = _places(image_n, [image for image, _, _ in self.files])
        column_n = _places(attribute_n, [attribute for attribute, _ in rows])
        mine = row_n >= 0
        wrong = mine & ((column_n < 0) | (present_n > 1) | (certainty_n > 4))
        if wrong.any():
            raise _untold(self._attribute_labels, int(wrong.argmax()) + 1)
        place = row_n[mine], column_n[mine]
        present, certainty = (np.zeros((len(self.files), len(rows)), dtype) for dtype in (bool, np.uint8))
        present[place], certainty[place] = present_n[mine], certainty_n[mine]
        return Attributes(tuple(name for _, name in rows), present, certainty)

    @property
    def _attribute_labels(self) -> Path:
        return self.root / "attributes/image_attribute_labels.txt"

    def _attribute_names(self) -> Path:
        places = self.root / "attributes/attributes.txt", self.root.parent / "attributes.txt"
        for path in places:
            if path.is_file():
                return path
        raise SaevError(f"{places[0]}: no such file, nor {places[1]}")


def _told(path: Path) -> np.ndarray:
    """(n, 4) of millions of lines, see TOLD: numpy reads them several times as fast as a loop does."""
    try:
        return np.loadtxt(path, np.uint32, comments=None, usecols=range(4), ndmin=2, encoding="utf-8-sig")
    except (OSError, ValueError):  # which counts rows now from 0 and now from 1
        lines = [line for line in read_lines(path, "it comes with CUB-200-2011") if line.strip()]
        raise _untold(path, next(n for n, line in enumerate(lines, 1) if not TOLD.fullmatch(line))) from None


def _untold(path: Path, line: int) -> SaevError:
    return SaevError(f"{path}: line {line} is not: image, attribute, 0 or 1, certainty")


def _places(id_n: np.ndarray, ids: list[str]) -> np.ndarray:
    """(n,) where in the list each number stands; -1 if it does not."""
    place = {key: i for i, key in enumerate(ids)}
    numbers, which_n = np.unique(id_n, return_inverse=True)
    return np.array([place.get(str(number), -1) for number in numbers], int)[which_n]


def _rows(path: Path) -> list[list[str]]:
    """[id, rest of the line] of every line, each id once."""
    rows = _lines(path)
    twice = [key for key, n in Counter(key for key, _ in rows).items() if n > 1]
    if twice:
        raise SaevError(f"{path}: {twice[0]} has more than one line")
    return rows


def _lines(path: Path) -> list[list[str]]:
    """[first column, rest of the line] of every line that is not blank."""
    lines = read_lines(path, "it comes with CUB-200-2011")
    rows = [(n, line.split(maxsplit=1)) for n, line in enumerate(lines, 1) if line.strip()]
    if bad := [n for n, row in rows if len(row) != 2]:
        raise SaevError(f"{path}: line {bad[0]} has no second column")
    return [[key, rest.strip()] for _, (key, rest) in rows]
