"""Folders as people have them, in the order of torchvision."""

import os

import numpy as np
import pytest
import torch
import torchvision

from saev.data import IGNORE, CorruptImage, ImageFolder, Preprocess
from saev.data.preprocess import Prepared
from saev.errors import SaevError
from tests.data.images import coordinates, encoded, exif, write


def tree(root, *files):
    for file in files:
        write(root / file)
    return root


def listing(root, split="train"):
    """[(file, class or None)]"""
    images = ImageFolder(root=str(root), split=split)
    labels = [label for _, label in images.files]
    assert all(images[i].label == label for i, label in enumerate(labels))
    names = [None if label == IGNORE else images.classes[label] for label in labels]
    return list(zip((file for file, _ in images.files), names, strict=True))


def test_reads_class_folders_in_order(tmp_path):
    tree(tmp_path, "train/cat/1.png", "train/cat/0.png", "train/dog/2.JPG")
    images = ImageFolder(root=str(tmp_path), split="train")
    assert images.classes == ("cat", "dog") and len(images) == 3
    assert [images[i].label for i in range(3)] == [0, 0, 1]
    assert images.name(2) == str(tmp_path / "train/dog/2.JPG")
    np.testing.assert_array_equal(images[0].image, coordinates(4, 5))
    assert images[0].pixel_labels is None  # every pixel is of the class


def test_the_order_is_that_of_torchvision(tmp_path):
    tree(
        tmp_path / "train",
        *(
            "b/10.png",
            "b/9.png",
            "b/sub/1.png",
            "b/sub.x/1.png",
            "b/sub-1/1.png",
            "b/sub/deep/0.bmp",
            "b/t.ppm",
        ),
        *("b.c/1.png", "b-c/1.webp", "B/1.tif", "a/1/2/3.jpeg", "a/z.png", "é/x.PNG", "猫/x.pgm"),
    )
    theirs = torchvision.datasets.ImageFolder(str(tmp_path / "train"))
    ours = ImageFolder(root=str(tmp_path), split="train")
    assert list(ours.classes) == theirs.classes
    assert [(ours.name(i), label) for i, (_, label) in enumerate(ours.files)] == theirs.samples


@pytest.mark.parametrize(
    "extension", ["gif", "jfif", "JPG", "Png", "webp", "bmp", "tif", "tiff", "jpeg", "ppm"]
)
def test_extensions_of_images(tmp_path, extension):
    tree(tmp_path, f"train/a/1.{extension}", "train/a/Thumbs.db", "train/a/notes.txt", "train/labels.csv")
    assert listing(tmp_path) == [(f"a/1.{extension}", "a")]


def test_a_flat_folder_has_no_labels(tmp_path):
    tree(tmp_path, "train/b.png", "train/a.jpg", "train/.c.png", "train/empty.txt")
    (tmp_path / "train" / "nothing").mkdir()
    assert listing(tmp_path) == [("a.jpg", None), ("b.png", None)]
    assert ImageFolder(root=str(tmp_path), split="train").classes == ()
    assert ImageFolder(root=str(tmp_path / "train"), split=".").classes == ()


@pytest.mark.parametrize("deeper", ["cat/1.png", "cat/more/1.png"])
def test_images_beside_class_folders_are_refused(tmp_path, deeper):
    tree(tmp_path, "train/0.png", f"train/{deeper}")
    message = r"train: has both images \(0\.png\) and folders of images \(cat/\); put"
    with pytest.raises(SaevError, match=message):
        ImageFolder(root=str(tmp_path), split="train")


def test_splits_share_their_classes(tmp_path):
    """A class may have no image in a split; what is no split beside it gives no classes."""
    tree(tmp_path, "train/a/1.png", "train/c/1.png", "val/b/1.png", "val/c/sub/1.png", "test/1.png")
    tree(tmp_path, "docs/api/index.txt", ".cache/x/1.png", "__MACOSX/train/1.png")
    for empty in ("train/d", "empty/e"):
        (tmp_path / empty).mkdir(parents=True)
    train, val = (ImageFolder(root=str(tmp_path), split=split) for split in ("train", "val"))
    assert train.classes == val.classes == ("a", "b", "c", "d")
    assert [label for _, label in train.files] == [0, 2] and [label for _, label in val.files] == [1, 2]
    assert ImageFolder(root=str(tmp_path), split="test").classes == ()
    assert ImageFolder(root=f"{tmp_path}/", split="train/").fingerprint == train.fingerprint


def test_one_class_and_one_image(tmp_path):
    tree(tmp_path, "train/all/1.png")
    assert listing(tmp_path) == [("all/1.png", "all")]


@pytest.mark.parametrize(
    "leftover",
    ["cat/._1.png", "cat/.ipynb_checkpoints/1-checkpoint.png", "__MACOSX/cat/1.png", "cat/__MACOSX/1.png"]
    + [".Trash/cat/1.png", "cat/.a/b/1.png", "._cat/1.png"],
)
def test_leftovers_of_systems_are_no_images(tmp_path, leftover):
    tree(tmp_path, "train/cat/1.png", f"train/{leftover}")
    assert listing(tmp_path) == [("cat/1.png", "cat")]


def test_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path, "train/cat/1.png", "pool/2.png", "dogs/3.png", "pool/deep/4.png")
    train = tmp_path / "train"
    for link, to in (("cat/more", "pool"), ("cat/again", "train/cat"), ("cat/up", "train"), ("dog", "dogs")):
        (train / link).symlink_to(tmp_path / to)
    (train / "cat/pool.png").symlink_to(tmp_path / "pool/2.png")
    (tmp_path / "pool/deep/back").symlink_to(tmp_path / "pool")
    files = ["cat/1.png", "cat/pool.png", "cat/more/2.png", "cat/more/deep/4.png", "dog/3.png"]
    assert listing(tmp_path) == [(file, file[:3]) for file in files]


def test_only_regular_files_are_images(tmp_path):
    """Opening a FIFO would wait for ever."""
    tree(tmp_path, "train/cat/1.png", "train/cat/scan.tif/2.png")
    os.mkfifo(tmp_path / "train/cat/0.png")
    assert listing(tmp_path) == [("cat/1.png", "cat"), ("cat/scan.tif/2.png", "cat")]


def test_a_link_to_nothing_keeps_its_place(tmp_path):
    """As git-annex leaves what was not fetched: the user says by extract.corrupt whether that may be."""
    tree(tmp_path, "train/cat/1.png")
    (tmp_path / "train/cat/0.png").symlink_to(tmp_path / "gone.png")
    images = ImageFolder(root=str(tmp_path), split="train")
    assert len(images) == 2 and images[1].label == 0
    with pytest.raises(CorruptImage, match=r"cat/0\.png: no such file"):
        images[0]


def test_a_class_folder_without_images_says_what_it_has(tmp_path):
    tree(tmp_path, "train/cat/1.png", "train/raw/2.heic", "train/raw/1.dng")
    with pytest.raises(SaevError, match=r"train/raw: a class folder without an image.*\(1\.dng\).*\.gif, "):
        ImageFolder(root=str(tmp_path), split="train")


@pytest.mark.parametrize(("split", "message"), [("val", "no such directory"), ("empty", "no images")])
def test_missing_or_empty_folders_say_what_is_expected(tmp_path, split, message):
    tree(tmp_path, "train/cat/1.png", "empty/.hidden.png")
    with pytest.raises(
        SaevError, match=f"{split}: {message}; expected .*<class>/<image>, or .*<image> without"
    ):
        ImageFolder(root=str(tmp_path), split=split)


CHANGES = {
    "renamed": lambda cat: (cat / "0.png").rename(cat / "9.png"),
    "replaced by one of the same size": lambda cat: (cat / "0.bmp").write_bytes(encoded(~SQUARE, "BMP")),
    "added": lambda cat: write(cat / "2.png"),
    "a class added to another split": lambda cat: write(cat.parents[1] / "val/ant/1.png"),
}
SQUARE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_follows_the_files(tmp_path, change):
    tree(tmp_path, "train/cat/0.png", "val/cat/0.png")
    write(tmp_path / "train/cat/0.bmp", encoded(SQUARE, "BMP"))
    os.utime(tmp_path / "train/cat/0.bmp", ns=(1, 1))
    before = ImageFolder(root=str(tmp_path), split="train").fingerprint
    write(tmp_path / "train/cat/notes.txt")
    assert ImageFolder(root=str(tmp_path), split="train").fingerprint == before
    CHANGES[change](tmp_path / "train/cat")
    assert ImageFolder(root=str(tmp_path), split="train").fingerprint != before


def test_photographs_of_phones_stand_upright(tmp_path):
    write(tmp_path / "train/1.jpg", encoded(coordinates(16, 24), "JPEG", exif=exif(6)))
    assert ImageFolder(root=str(tmp_path), split="train")[0].image.shape == (24, 16, 3)


def test_a_missing_image_keeps_its_place(tmp_path):
    """By choice fatal or missing; the images after it are not shifted."""
    for i in range(3):
        grey = encoded(np.full((16, 16, 3), 50 * i, np.uint8))
        write(tmp_path / f"train/a/{i}.png", grey if i != 1 else grey[:60])
    images = ImageFolder(root=str(tmp_path), split="train")
    preprocess = Preprocess(size=(16, 16), mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(CorruptImage, match=r"train/a/1\.png: cannot be decoded"):
        Prepared(images, preprocess, (2, 2), purity=0.9)[1]
    prepared = Prepared(images, preprocess, (2, 2), purity=0.9, corrupt_ok=True)
    pixels, patch_labels, label, present, *_ = prepared[1]
    assert not present and label == IGNORE and (patch_labels == IGNORE).all() and not pixels.any()
    assert prepared[2][0].mean() == 100 and prepared[2][3]
    assert torch.utils.data.default_collate([prepared[0][0], prepared[2][0]]).shape == (2, 16, 16, 3)


def test_a_failing_disk_is_not_a_missing_image(tmp_path):
    tree(tmp_path, "train/a/1.png")
    images = ImageFolder(root=str(tmp_path), split="train")
    (tmp_path / "train/a/1.png").unlink()
    (tmp_path / "train/a/1.png").mkdir()  # EISDIR stands for the errors of reading, and needs no other user
    prepared = Prepared(
        images, Preprocess(size=(4, 4), mean=(0, 0, 0), std=(1, 1, 1)), (1, 1), purity=0.9, corrupt_ok=True
    )
    with pytest.raises(SaevError, match=r"a/1\.png: cannot be read \(Is a directory\)"):
        prepared[0]


def test_any_name_is_one_line(tmp_path):
    name = b"new\nline \x1b[31m \xff.png"
    os.makedirs(tmp_path / "train/a")
    (tmp_path / "train/a" / os.fsdecode(name)).write_bytes(b"")
    images = ImageFolder(root=str(tmp_path), split="train")
    with pytest.raises(CorruptImage) as raised:
        images[0]
    assert str(raised.value).isprintable() and r"new\nline \x1b[31m \udcff.png: cannot" in str(raised.value)
