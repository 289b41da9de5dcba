"""CUB-200-2011: birds with 312 binary attributes each."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saev.checks import check_choice
from saev.data.decode import decode
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
    """(n_images, n_attributes) uint8: 1 not visible, 2 guessing, 3 probably, 4 definitely; 0 not annotated."""


class Cub:
    """The layout of CUB_200_2011; every pixel carries the class of its image.

        root/images.txt  image_class_labels.txt  classes.txt  train_test_split.txt  images/
        root/attributes/image_attribute_labels.txt, attributes.txt (there or beside root)

    Args:
        root: directory of the data set.
        split: `train`, `test`, or `all`.

    Raises:
        SaevError: a file is missing or a line of it cannot be read.
    """

    def __init__(self, *, root: str, split: str):
        check_choice("split", split, ("train", "test", "all"))
        self.root = Path(root)
        names = dict(_rows(self.root / "classes.txt"))
        class_ids = sorted(names, key=int)
        self.classes = tuple(names[i] for i in class_ids)
        labels, is_train = (
            dict(_rows(self.root / "image_class_labels.txt")),
            dict(_rows(self.root / "train_test_split.txt")),
        )
        wanted = {"train": ("1",), "test": ("0",), "all": ("0", "1")}[split]
        try:
            self.files = [
                (i, file, class_ids.index(labels[i]))
                for i, file in _rows(self.root / "images.txt")
                if is_train[i] in wanted
            ]
        except (KeyError, ValueError) as error:
            raise SaevError(
                f"{self.root}: the lists of images, labels, classes and splits do not agree ({error})"
            ) from None
        if not self.files:
            raise SaevError(f"{self.root / 'train_test_split.txt'}: no image of split {split!r}")
        self.fingerprint = fingerprint(["cub", 1, self.files])

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.root / "images" / self.files[i][1])

    def __getitem__(self, i: int) -> Sample:
        return Sample(decode(self.name(i), self.name(i)), self.files[i][2])

    @cached_property
    def attributes(self) -> Attributes:
        """The attributes of every image, in the order of the images."""
        listing = next(
            (
                p
                for p in (self.root / "attributes/attributes.txt", self.root.parent / "attributes.txt")
                if p.is_file()
            ),
            None,
        )
        if listing is None:
            raise SaevError(
                f"{self.root / 'attributes/attributes.txt'}: no such file, nor beside {self.root}"
            )
        rows = _rows(listing)
        column, row = (
            {a: c for c, (a, _) in enumerate(rows)},
            {i: r for r, (i, _, _) in enumerate(self.files)},
        )
        present = np.zeros((len(row), len(column)), bool)
        certainty = np.zeros((len(row), len(column)), np.uint8)
        # image attribute present certainty seconds: a few lines of the original have extra columns at the end.
        for i, rest in _rows(self.root / "attributes/image_attribute_labels.txt"):
            if i in row:
                attribute, is_present, how_sure = rest.split()[:3]
                present[row[i], column[attribute]] = is_present == "1"
                certainty[row[i], column[attribute]] = int(how_sure)
        return Attributes(tuple(name for _, name in rows), present, certainty)


def _rows(path: Path) -> list[list[str]]:
    """[id, rest of the line] of every line."""
    if not path.is_file():
        raise SaevError(f"{path}: no such file; it comes with CUB-200-2011")
    rows = [line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip()]
    if bad := [n for n, row in enumerate(rows, 1) if len(row) != 2]:
        raise SaevError(f"{path}: line {bad[0]} has no second column")
    return [[key, rest.strip()] for key, rest in rows]
