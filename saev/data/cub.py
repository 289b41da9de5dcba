"""CUB-200-2011: birds with 312 binary attributes each."""

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from saev.checks import check_choice
from saev.data.decode import decode
from saev.data.listing import read_lines, stamp
from saev.data.sample import Sample
from saev.errors import SaevError
from saev.files import fingerprint


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

    Raises:
        SaevError: a list is missing, is not UTF-8, or a line of it cannot be read.
    """

    def __init__(self, *, root: str, split: Literal["train", "test", "all"]):
        check_choice("split", split, ("train", "test", "all"))
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
        self.fingerprint = fingerprint(["cub", 2, self.classes, self.files, stamps])

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.root / "images" / self.files[i][1])

    def __getitem__(self, i: int) -> Sample:
        return Sample(decode(self.name(i), self.name(i)), self.files[i][2])

    @cached_property
    def attributes(self) -> Attributes:
        """The attributes of every image, in the order of the images. Raises SaevError as the class does."""
        rows = _rows(self._attribute_names())
        column = {attribute: c for c, (attribute, _) in enumerate(rows)}
        row = {image: r for r, (image, _, _) in enumerate(self.files)}
        present = np.zeros((len(row), len(column)), bool)
        certainty = np.zeros((len(row), len(column)), np.uint8)
        labels = self.root / "attributes/image_attribute_labels.txt"
        # image attribute present certainty seconds: a few lines of the original have more columns at the end.
        for line, (image, rest) in enumerate(_lines(labels), 1):
            if image in row:
                try:
                    attribute, is_present, how_sure = rest.split()[:3]
                    place = row[image], column[attribute]
                    present[place], certainty[place] = is_present == "1", int(how_sure)
                except (KeyError, ValueError, OverflowError):
                    expected = "image, attribute, 0 or 1, certainty"
                    raise SaevError(f"{labels}: line {line} is not: {expected}") from None
        return Attributes(tuple(name for _, name in rows), present, certainty)

    def _attribute_names(self) -> Path:
        places = self.root / "attributes/attributes.txt", self.root.parent / "attributes.txt"
        for path in places:
            if path.is_file():
                return path
        raise SaevError(f"{places[0]}: no such file, nor {places[1]}")


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
