"""ADE20K (SceneParse150): scenes with a class for every pixel."""

from pathlib import Path

import numpy as np

from saev.data.decode import decode, decode_mask
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError
from saev.files import fingerprint


class Ade20k:
    """The layout of ADEChallengeData2016:

        root/images/<split>/*.jpg   root/annotations/<split>/*.png   root/objectInfo150.txt

    151 classes: 0 is background (what has no label), 1 to 150 are named in objectInfo150.txt
    with all their synonyms, since two of them share their first ("screen"). The image label
    is the class of the largest area, background aside.

    Args:
        root: directory of the data set.
        split: `training` or `validation`.

    Raises:
        SaevError: a directory or the list of classes is missing, or an image has no annotation.
    """

    def __init__(self, *, root: str, split: str):
        self.images, self.masks = Path(root, "images", split), Path(root, "annotations", split)
        for directory in (self.images, self.masks):
            if not directory.is_dir():
                raise SaevError(
                    f"{directory}: no such directory; expected {root}/{{images,annotations}}/{split}/"
                )
        self.classes = ("background", *_class_names(Path(root, "objectInfo150.txt")))
        self.stems = sorted(path.stem for path in self.images.glob("*.jpg"))
        if not self.stems:
            raise SaevError(f"{self.images}: no .jpg images")
        sizes = [[stem, self._image(stem).stat().st_size] for stem in self.stems]
        if missing := [stem for stem in self.stems if not self._mask(stem).is_file()]:
            raise SaevError(
                f"{self._mask(missing[0])}: no annotation for that image ({len(missing)} are missing)"
            )
        self.fingerprint = fingerprint(
            ["ade20k", 1, sizes, [self._mask(stem).stat().st_size for stem in self.stems]]
        )

    def _image(self, stem: str) -> Path:
        return self.images / f"{stem}.jpg"

    def _mask(self, stem: str) -> Path:
        return self.masks / f"{stem}.png"

    def __len__(self) -> int:
        return len(self.stems)

    def name(self, i: int) -> str:
        return str(self._image(self.stems[i]))

    def __getitem__(self, i: int) -> Sample:
        image = decode(self.name(i), self.name(i))
        mask = self._mask(self.stems[i])
        pixel_labels = decode_mask(mask, mask, image.shape[:2], len(self.classes))
        area = np.bincount(pixel_labels.ravel(), minlength=len(self.classes))[1 : len(self.classes)]
        return Sample(image, int(area.argmax()) + 1 if area.any() else IGNORE, pixel_labels)


def _class_names(path: Path) -> list[str]:
    """The names of objectInfo150.txt: tab-separated, a header line, then Idx ... Name."""
    if not path.is_file():
        raise SaevError(f"{path}: no such file; it comes with ADE20K and names its 150 classes")
    header, *rows = [line.split("\t") for line in path.read_text().splitlines() if line.strip()] or [[""]]
    if [field.strip() for field in header][-1] != "Name" or [row[0].strip() for row in rows] != [
        str(i + 1) for i in range(len(rows))
    ]:
        raise SaevError(f"{path}: expected tab-separated columns 'Idx ... Name' with rows 1, 2, 3, ...")
    return [row[-1].strip() for row in rows]
