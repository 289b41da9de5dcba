"""The layout of ADE20K, made small here: names, labels on their pixels, and what is wrong with it."""

import os

import numpy as np
import pytest
from PIL import Image

from saev.data import IGNORE, Ade20k, CorruptImage, Preprocess
from saev.data.preprocess import Prepared
from saev.errors import SaevError
from tests.data.images import coordinates, encoded, exif, write

SHAPES = [(96, 140), (140, 96), (100, 100)]


def annotation(h: int, w: int) -> np.ndarray:
    """A class per 10 rows, 0 (background) in the first 10."""
    return np.repeat(np.arange(h, dtype=np.uint8)[:, None] // 10, w, axis=1)


@pytest.fixture
def ade(tmp_path):
    for split in ("training", "validation"):
        for i, (h, w) in enumerate(SHAPES):
            write(tmp_path / f"images/{split}/ADE_{split}_{i}.jpg", encoded(coordinates(h, w), "JPEG"))
            write(tmp_path / f"annotations/{split}/ADE_{split}_{i}.png", encoded(annotation(h, w)))
    names = ["wall", "building, edifice", *(f"thing {i}" for i in range(3, 151))]
    rows = [f"{i}\t0.1\t10\t1\t1\t{name}" for i, name in enumerate(names, 1)]
    lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName   ", *rows, ""]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(lines))
    return tmp_path


def test_reads_its_layout(ade):
    images = Ade20k(root=str(ade), split="validation")
    assert len(images) == 3 and len(images.classes) == 151
    assert images.classes[:3] == ("background", "wall", "building, edifice")
    sample = images[0]
    assert sample.image.shape == (96, 140, 3) and sample.pixel_labels.dtype == np.uint16
    np.testing.assert_array_equal(sample.pixel_labels[:, 5], np.arange(96) // 10)
    assert sample.label == 1  # largest area but for the background, the first of equals


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
@pytest.mark.parametrize("crop_share", [1.0, 0.875])
def test_labels_stay_on_their_pixels(ade, size, crop_share):
    """Every pixel that the backbone sees says its row; its label must be the class of that row."""
    preprocess = Preprocess(
        size=size, mean=(0, 0, 0), std=(1, 1, 1), crop_share=crop_share, interpolation="bilinear"
    )
    images = Ade20k(root=str(ade), split="training")
    grid = (size[0] // 4, size[1] // 4)
    prepared = Prepared(images, preprocess, grid, purity=0.9)
    for i in range(3):
        pixels, patch_labels, _, present, *_ = prepared[i]
        seen = preprocess.crop_labels(images[i].pixel_labels)
        row = pixels[..., 0].astype(float)
        inside = np.abs(row % 10 - 4.5) < 3  # JPEG and interpolation move a row by less than 2
        assert present and inside.mean() > 0.4
        np.testing.assert_array_equal(seen[inside], (row // 10)[inside])
        # A patch is labelled exactly if one class covers 90 % of the pixels that lie in it.
        for p, label in enumerate(patch_labels):
            r, c = divmod(p, grid[1])
            values, counts = np.unique(seen[r * 4 : r * 4 + 4, c * 4 : c * 4 + 4], return_counts=True)
            assert label == (values[counts.argmax()] if counts.max() >= 0.9 * 16 else IGNORE)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_photographs(ade, mode):
    """The real ADE20K has such files."""
    photograph = Image.fromarray(coordinates(96, 140)).convert(mode)
    write(ade / "images/training/ADE_training_0.jpg", encoded(photograph, "JPEG"))
    image = Ade20k(root=str(ade), split="training")[0].image.astype(int)
    assert np.abs(image - np.asarray(photograph.convert("RGB"))).mean() < 2


def test_annotations_turn_with_their_photograph(ade):
    write(ade / "images/training/ADE_training_0.jpg", encoded(coordinates(96, 140), "JPEG", exif=exif(8)))
    sample = Ade20k(root=str(ade), split="training")[0]
    assert sample.image.shape == (140, 96, 3)
    rows = sample.image[..., 0].astype(int)
    inside = np.abs(rows % 10 - 4.5) < 3
    np.testing.assert_array_equal(sample.pixel_labels[inside], (rows // 10)[inside])


def test_leftovers_and_other_files_are_no_images(ade):
    for file in ("._ADE_training_0.jpg", ".DS_Store", "list.txt"):
        write(ade / "images/training" / file)
    assert len(Ade20k(root=str(ade), split="training")) == 3


def test_without_names_the_classes_are_numbered(ade):
    (ade / "objectInfo150.txt").unlink()
    classes = Ade20k(root=str(ade), split="training").classes
    assert len(classes) == 151 and classes[:2] == ("background", "class 1") and classes[150] == "class 150"


def test_names_as_windows_writes_them(ade):
    before = Ade20k(root=str(ade), split="training").classes
    text = (ade / "objectInfo150.txt").read_text()
    (ade / "objectInfo150.txt").write_bytes(
        b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    )
    assert Ade20k(root=str(ade), split="training").classes == before


FAULTS = {
    "annotation missing": (
        lambda root: (root / "annotations/training/ADE_training_1.png").unlink(),
        r"ADE_training_1\.png: no annotation for that image \(1 are missing\)",
    ),
    "two images of one annotation": (
        lambda root: write(root / "images/training/ADE_training_1.png"),
        r"ADE_training_1\.jpg and ADE_training_1\.png share one annotation",
    ),
    "names of another kind": (
        lambda root: (root / "objectInfo150.txt").write_text("wall\nbuilding\n"),
        r"objectInfo150\.txt: expected tab-separated",
    ),
    "names in latin-1": (
        lambda root: (root / "objectInfo150.txt").write_bytes(b"Idx\tName\n1\tcaf\xe9\n"),
        r"objectInfo150\.txt: is not UTF-8 text \(byte 0xe9 at 14\)",
    ),
    "no split": (
        lambda root: (root / "images/training").rename(root / "images/train"),
        r"images/training: no such directory; expected .*/\{images,annotations\}/training/",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_the_file(ade, fault):
    spoil, message = FAULTS[fault]
    spoil(ade)
    with pytest.raises(SaevError, match=message):
        Ade20k(root=str(ade), split="training")


def test_an_annotation_of_another_size_names_both(ade):
    write(ade / "annotations/validation/ADE_validation_1.png", encoded(np.zeros((5, 6), np.uint8)))
    message = r"annotations/\S*_1\.png: the mask is 6 x 5, its image \S*images/\S*_1\.jpg 96 x 140$"
    with pytest.raises(CorruptImage, match=message):
        Ade20k(root=str(ade), split="validation")[1]


@pytest.mark.parametrize(
    "file", ["images/training/ADE_training_0.jpg", "annotations/training/ADE_training_0.png"]
)
def test_fingerprint_notices_a_file_of_the_same_size(ade, file):
    before = Ade20k(root=str(ade), split="training").fingerprint
    assert Ade20k(root=str(ade), split="training").fingerprint == before
    os.utime(ade / file, ns=(1, 1))
    assert Ade20k(root=str(ade), split="training").fingerprint != before
