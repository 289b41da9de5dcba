"""The layout of CUB-200-2011, made small here."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saev.data import CorruptImage, Cub
from saev.errors import SaevError
from saev.files import fingerprint
from tests.data.images import coordinates, encoded, write

FILES = ["001.Albatross/a.jpg", "001.Albatross/b.jpg", "002.Auklet/c.jpg"]


@pytest.fixture
def cub(tmp_path):
    root = tmp_path / "CUB_200_2011"
    for i, file in enumerate(FILES):
        write(root / "images" / file, encoded(coordinates(20 + i, 30), "JPEG"))
    (root / "images.txt").write_text("".join(f"{i} {file}\n" for i, file in enumerate(FILES, 1)))
    (root / "classes.txt").write_text("1 001.Albatross\n2 002.Auklet\n")
    (root / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n")
    (root / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")
    (tmp_path / "attributes.txt").write_text("1 has_bill_shape::curved\n2 has_wing_color::blue\n")
    # The last line has the two extra columns that some lines of the original have.
    lines = ["1 1 1 3 5.2", "1 2 0 4 5.2", "2 1 0 1 1.0", "2 2 1 4 1.0", "3 1 1 4 2.0", "3 2 0 2 0 2.0 7"]
    write(root / "attributes/image_attribute_labels.txt", ("\n".join(lines) + "\n").encode())
    return root


def test_reads_its_layout(cub):
    train, test, everything = (Cub(root=str(cub), split=split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (2, 1, 3)
    assert train.classes == ("001.Albatross", "002.Auklet")
    assert [train[i].label for i in range(2)] == [0, 1] and train[1].image.shape == (22, 30, 3)
    names, present, certainty = train.attributes
    assert names == ("has_bill_shape::curved", "has_wing_color::blue")
    np.testing.assert_array_equal(present, [[True, False], [True, False]])
    np.testing.assert_array_equal(certainty, [[3, 4], [4, 2]])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_photographs(cub, mode):
    """The real CUB has grey ones."""
    photograph = Image.fromarray(coordinates(20, 30)).convert(mode)
    write(cub / "images" / FILES[0], encoded(photograph, "JPEG"))
    image = Cub(root=str(cub), split="train")[0].image.astype(int)
    assert np.abs(image - np.asarray(photograph.convert("RGB"))).mean() < 2


def test_lists_as_windows_writes_them(cub):
    before = Cub(root=str(cub), split="train")
    for file in [*cub.glob("*.txt"), cub.parent / "attributes.txt"]:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    after = Cub(root=str(cub), split="train")
    assert (after.classes, after.files, after.fingerprint) == (
        before.classes,
        before.files,
        before.fingerprint,
    )
    assert after.attributes.names == before.attributes.names


FAULTS = {
    "no list": ("classes.txt", None, r"classes\.txt: no such file; it comes with CUB"),
    "latin-1": ("classes.txt", b"1 Alb\xe1tross\n", r"classes\.txt: is not UTF-8 text \(byte 0xe1 at 5\)"),
    "one column": ("images.txt", b"1 a.jpg\n2\n", r"images\.txt: line 2 has no second column"),
    "one id, two images": ("images.txt", b"1 a.jpg\n1 b.jpg\n", r"images\.txt: 1 has more than one line"),
    "no number": ("classes.txt", b"one Albatross\n", r"CUB_200_2011: the lists .* do not agree .*'one'"),
    "no label": ("image_class_labels.txt", b"1 1\n2 1\n", r"CUB_200_2011: the lists .* do not agree \('3'\)"),
    "no image": (
        "train_test_split.txt",
        b"1 0\n2 0\n3 0\n",
        r"train_test_split\.txt: no image of split 'train'",
    ),
    "a directory": (
        "images.txt",
        b"1 a\n2 a\n3 001.Albatross\n",
        r"images/001\.Albatross: is no regular file",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_the_list(cub, fault):
    file, content, message = FAULTS[fault]
    (cub / file).unlink()
    if content is not None:
        (cub / file).write_bytes(content)
    with pytest.raises(SaevError, match=message):
        Cub(root=str(cub), split="train")


def test_unknown_split(cub):
    with pytest.raises(SaevError, match="split must be one of train, test, all, got 'val'"):
        Cub(root=str(cub), split="val")


@pytest.mark.parametrize("certainty", [2, 3, 4])
def test_attributes_are_concepts_where_someone_was_certain(cub, certainty):
    images = Cub(root=str(cub), split="train", certainty=certainty)
    assert (images.described, images.clusters) == ("images", ())
    assert images.concepts == ("has_bill_shape::curved", "has_wing_color::blue")
    told = [[(1, 3), (0, 4)], [(1, 4), (0, 2)]]  # (present, certainty) of images 1 and 3
    for i, of_image in enumerate(told):
        expected = [present if sure >= certainty else -1 for present, sure in of_image]
        assert images[i].regions.concepts_rc.tolist() == [expected]
        assert images[i].regions.cluster_r.tolist() == [i] and images[i].regions.of_pixel is None
    assert [images[i].label for i in range(2)] == [0, 1]  # and of classes, as before


def test_what_was_not_visible_is_unknown(cub):
    (image,) = Cub(root=str(cub), split="test", certainty=2)
    assert image.regions.concepts_rc.tolist() == [[-1, 1]]  # 2 1 0 1: not there, for all that one sees


def test_attributes_are_no_concepts_unless_asked_for(cub):
    (cub / "attributes/image_attribute_labels.txt").unlink()  # nobody looks for it
    images = Cub(root=str(cub), split="train")
    assert (images.described, images.concepts, images[0].regions) == (None, (), None)
    stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in map(Path, map(images.name, (0, 1)))]
    files = [("1", FILES[0], 0), ("3", FILES[2], 1)]
    assert images.fingerprint == fingerprint(["cub", 2, images.classes, files, stamps])  # stores stay valid
    with pytest.raises(SaevError, match=r"image_attribute_labels\.txt: no such file; it comes with CUB"):
        Cub(root=str(cub), split="train", certainty=3)


def test_fingerprint_follows_what_is_told(cub):
    def fingerprints():
        return {Cub(root=str(cub), split="train", certainty=least).fingerprint for least in (None, 2, 3, 4)}

    before = fingerprints()
    os.utime(cub / "attributes/image_attribute_labels.txt", ns=(1, 1))
    told_again = fingerprints()
    (cub.parent / "attributes.txt").write_text("1 has_bill_shape::straight\n2 has_wing_color::blue\n")
    assert len(before) == 4 and len(before & told_again) == len(told_again & fingerprints()) == 1


@pytest.mark.parametrize("certainty", [0, 1, 5, 3.0, True])
def test_a_certainty_is_one_of_theirs(cub, certainty):
    with pytest.raises(SaevError, match=f"certainty must be one of None, 2, 3, 4, got {certainty}"):
        Cub(root=str(cub), split="train", certainty=certainty)


@pytest.mark.parametrize(
    "line",
    ["1 3 1 3", "1 1 1", "1 1 1 sure", "1 1 1 300", "1 1 2 3", "1 1 -1 3", "1 1 1 3.5", "1 1 1 9999999999"],
)
def test_faults_of_the_attributes_name_the_line(cub, line):
    (cub / "attributes/image_attribute_labels.txt").write_text(f"1 1 1 3 5.2\n{line}\n")
    with pytest.raises(SaevError, match=r"image_attribute_labels\.txt: line 2 is not: image, attribute"):
        _ = Cub(root=str(cub), split="train").attributes


def test_attributes_may_lie_in_either_place(cub):
    (cub.parent / "attributes.txt").rename(cub / "attributes/attributes.txt")
    images = Cub(root=str(cub), split="train")
    assert len(images.attributes.names) == 2
    (cub / "attributes/attributes.txt").unlink()
    with pytest.raises(SaevError, match=r"attributes/attributes\.txt: no such file, nor \S*/attributes\.txt"):
        _ = Cub(root=str(cub), split="train").attributes


def test_fingerprint_notices_a_file_of_the_same_size(cub):
    def fingerprint():
        return Cub(root=str(cub), split="train").fingerprint

    before = fingerprint()
    os.utime(cub / "images" / FILES[1], ns=(1, 1))  # of the other split
    assert fingerprint() == before
    os.utime(cub / "images" / FILES[0], ns=(1, 1))
    assert fingerprint() != before


def test_an_image_that_is_not_there_is_named(cub):
    (cub / "images" / FILES[0]).unlink()
    images = Cub(root=str(cub), split="train")
    assert len(images) == 2 and images[1].label == 1
    with pytest.raises(CorruptImage, match=r"001\.Albatross/a\.jpg: no such file"):
        images[0]
