"""ADE20K (SceneParse150): scenes with a class for every pixel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saev.data.decode import decode_with_mask
from saev.data.listing import ABSENT, File, files_below, is_image, read_lines
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError
from saev.files import fingerprint

N_CLASSES = 150


class Ade20k:
    """The layout of ADEChallengeData2016, also for other images:

        root/images/<split>/*.jpg   root/annotations/<split>/*.png   root/objectInfo150.txt

    151 classes: 0 is background (what has no label), 1 to 150 are named in objectInfo150.txt
    with all their synonyms, since two of them share their first ("screen"). Without that file they are
    called "class 1" to "class 150". The image label is the class of the largest area, background aside.

    Args:
        root: directory of the data set.
        split: `training` or `validation`.

    Raises:
        SaevError: a directory is missing, the list of classes cannot be read, an image has no annotation, or
            two images have the same one.
    """

    def __init__(self, *, root: str, split: str):
        self.images, self.masks = Path(root, "images", split), Path(root, "annotations", split)
        for directory in (self.images, self.masks):
            if not directory.is_dir():
                raise SaevError(
                    f"{directory}: no such directory; expected {root}/{{images,annotations}}/{split}/"
                )
        self.classes = ("background", *_class_names(Path(root, "objectInfo150.txt")))
        images = _images(self.images)
        if not images:
            raise SaevError(f"{self.images}: no images")
        stamps = {file.name: file.stamp for file in files_below(self.masks)}
        masks = [File(name, stamps.get(name, ABSENT)) for name in _mask_names(self.images, images)]
        if missing := [mask.name for mask in masks if mask.stamp == ABSENT]:
            raise SaevError(
                f"{self.masks / missing[0]}: no annotation for that image ({len(missing)} are missing)"
            )
        self.files = [(image.name, mask.name) for image, mask in zip(images, masks, strict=True)]
        self.fingerprint = fingerprint(["ade20k", 2, self.classes, images, masks])

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.images / self.files[i][0])

    def __getitem__(self, i: int) -> Sample:
        paths = self.images / self.files[i][0], self.masks / self.files[i][1]
        image, pixel_labels = decode_with_mask(*paths, len(self.classes), names=paths)
        area = np.bincount(pixel_labels.ravel(), minlength=len(self.classes))[1 : len(self.classes)]
        return Sample(image, int(area.argmax()) + 1 if area.any() else IGNORE, pixel_labels)


def _images(directory: Path) -> list[File]:
    return sorted(file for file in files_below(directory) if is_image(file.name))


def _mask_names(directory: Path, images: Sequence[File]) -> list[str]:
    """<stem>.png of every image."""
    of: dict[str, str] = {}
    for image in images:
        mask = image.name.rpartition(".")[0] + ".png"
        if mask in of:
            raise SaevError(f"{directory}: {of[mask]} and {image.name} share one annotation ({mask})")
        of[mask] = image.name
    return list(of)


def _class_names(path: Path) -> list[str]:
    """The names of objectInfo150.txt: tab-separated, a header line, then Idx ... Name."""
    if not path.exists():
        return [f"class {i}" for i in range(1, N_CLASSES + 1)]
    lines = read_lines(path, "it names ADE20K's classes")
    header, *rows = [line.split("\t") for line in lines if line.strip()] or [[""]]
    if [field.strip() for field in header][-1] != "Name" or [row[0].strip() for row in rows] != [
        str(i + 1) for i in range(len(rows))
    ]:
        raise SaevError(f"{path}: expected tab-separated columns 'Idx ... Name' with rows 1, 2, 3, ...")
    return [row[-1].strip() for row in rows]
