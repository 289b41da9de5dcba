"""Shards as any program writes them: each image by position, and none of them lost in silence."""

import io
import os
import tarfile

import numpy as np
import pytest

from saev.data import IGNORE, CorruptImage, WebDataset
from saev.errors import SaevError
from tests.data.images import encoded, write


def shard(path, *members):
    """A tar of (name, content); content None is a link to x.png."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "x.png"
            else:
                member.size = len(content)
            tar.addfile(member, None if content is None else io.BytesIO(content))
    return path


def grey(value: int) -> bytes:
    return encoded(np.full((4, 5, 3), value, np.uint8))


@pytest.fixture
def shards(tmp_path):
    """Two shards of two samples; the second key of each lies in a folder and has a dot in its extension."""
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    for s in range(2):
        shard(
            tmp_path / f"train-{s}.tar",
            *(
                (f"{key}.{extension}", content)
                for key, i in (("a", 2 * s), ("sub/b", 2 * s + 1))
                for extension, content in (
                    ("png", grey(20 * i)),
                    ("cls", str(i % 2).encode()),
                    ("seg.png", grey(255)),
                )
            ),
        )
    return tmp_path


def opened(shards, pattern="train-*.tar"):
    return WebDataset(shards=f"{shards}/{pattern}", classes=f"{shards}/classes.txt")


def test_reads_any_sample_by_position(shards):
    images = opened(shards)
    assert len(images) == 4 and images.classes == ("ant", "bee")
    assert images.name(3) == f"{shards}/train-1.tar/sub/b"
    for i in (3, 0, 2, 1):
        assert images[i].label == i % 2
        assert (images[i].image == 20 * i).all()
    unlabelled = WebDataset(shards=f"{shards}/train-*.tar")
    assert unlabelled.classes == () and unlabelled[1].label == IGNORE


LABELS = {
    b"1": 1,
    b"0\n": 0,
    b" 1 \r\n": 1,
    b"\xef\xbb\xbf1": 1,
    b"001": 1,
    b"-1": IGNORE,
    b"": IGNORE,
    None: IGNORE,
}


@pytest.mark.parametrize("text", LABELS)
def test_labels(shards, text):
    label = [] if text is None else [("a.cls", text)]
    shard(shards / "one.tar", *label, ("a.png", grey(1)))
    assert opened(shards, "one.tar")[0].label == LABELS[text]


@pytest.mark.parametrize(
    "text", [b"2", b"-2", b"ant", b"1.0", b"\xff", b"1 0", "²".encode(), b"9" * 5000, b" " * 200 + b"1"]
)
def test_labels_that_are_no_class(shards, text):
    shard(shards / "one.tar", ("a.png", grey(1)), ("a.cls", text))
    with pytest.raises(SaevError, match=r"one\.tar: a\.cls is .{2,22}, expected 0 to 1, or -1") as raised:
        opened(shards, "one.tar")
    assert len(str(raised.value)) < 100 + len(str(shards))


X = ("x.png", grey(9))
LOSSES = {
    "photograph and mask": ([("1.jpg", b""), ("1.png", b"")], r"1\.jpg and 1\.png have the same key"),
    "twice": ([("a.jpg", b""), X, ("a.jpg", b"")], r"a\.jpg and a\.jpg have the same key"),
    "two labels": ([X, ("x.cls", b"1"), ("x.CLS", b"0")], r"x\.cls and x\.CLS have the same key"),
    "dots": (
        [X, ("img.v1.2.jpg", b"")],
        r"the sample 'img' has no image, only img\.v1\.2\.jpg; its key ends",
    ),
    "another format": (
        [X, ("y.heic", b""), ("y.cls", b"1")],
        r"the sample 'y' has no image, only y\.heic, y\.cls",
    ),
    "a link": ([X, ("y.png", None)], r"y\.png is no regular file"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_no_image_is_lost_in_silence(shards, loss):
    members, message = LOSSES[loss]
    shard(shards / "one.tar", *members)
    with pytest.raises(SaevError, match=rf"^\S*one\.tar: {message}"):
        opened(shards, "one.tar")


def test_leftovers_are_no_samples(shards):
    hidden = ["._x.png", "__MACOSX/x.png", ".ipynb_checkpoints/y.png", "./._z.png"]
    shard(shards / "one.tar", *((name, b"") for name in hidden), ("./k.png", grey(3)), ("notes.json", b"{}"))
    images = opened(shards, "one.tar")
    assert images.keys == ["./k"] and (images[0].image == 3).all()


CLASSES = {
    "byte order mark": "\ufeffant\nbee".encode(),
    "lines of Windows": b"ant\r\nbee\r\n\r\n  \r\n",
    "lines of old": b"ant\rbee",
}


@pytest.mark.parametrize("how", CLASSES)
def test_class_lists_of_any_system(shards, how):
    (shards / "classes.txt").write_bytes(CLASSES[how])
    assert opened(shards).classes == ("ant", "bee")


def test_class_lists_in_any_language(shards):
    (shards / "classes.txt").write_text("Ameise\u2028x\nBär 猫", encoding="utf-8")
    assert opened(shards).classes == ("Ameise\u2028x", "Bär 猫")


BAD_CLASSES = {
    "latin-1": ("Bär\n".encode("latin-1"), r"classes\.txt: is not UTF-8 text \(byte 0xe4 at 1\)"),
    "a gap": (b"ant\n\nbee\n", r"classes\.txt: line 2 is blank; expected the name of class 1"),
    "missing": (None, r"classes\.txt: no such file; expected one class name per line"),
}


@pytest.mark.parametrize("fault", BAD_CLASSES)
def test_bad_class_lists_are_named(shards, fault):
    content, message = BAD_CLASSES[fault]
    (shards / "classes.txt").unlink()
    if content is not None:
        (shards / "classes.txt").write_bytes(content)
    with pytest.raises(SaevError, match=message):
        opened(shards)


def test_damaged_shards_are_named(shards):
    with pytest.raises(SaevError, match=r"val-\*\.tar: no shard matches"):
        opened(shards, "val-*.tar")
    path = shards / "train-1.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        second, third = tar.getmembers()[1:3]
    # Inside a member, and, which tarfile itself does not notice, between two, and in a header.
    flipped = bytearray(whole)
    flipped[third.offset] ^= 1
    for content, message in (
        (whole[: second.offset_data + 1], "cannot be read"),
        (whole[: second.offset], f"cut short or damaged: .* not at byte {second.offset}"),
        (flipped, f"cut short or damaged: .* not at byte {third.offset}"),
        (b"not a tar file" * 100, "cannot be read as an uncompressed tar"),
        (b"", "cannot be read as an uncompressed tar"),
    ):
        path.write_bytes(content)
        with pytest.raises(SaevError, match=rf"train-1\.tar: {message}"):
            opened(shards)


def test_shards_without_images_say_what_is_expected(shards):
    shard(shards / "one.tar", ("a.json", b"{}"))
    with pytest.raises(SaevError, match=r"one\.tar: no images .* expected <key>\.jpg and <key>\.cls"):
        opened(shards, "one.tar")


def test_only_files_are_shards(shards):
    os.mkfifo(shards / "train-2.tar")
    (shards / "train-3.tar").mkdir()
    assert len(opened(shards)) == 4


def test_fingerprint_notices_a_shard_of_the_same_size(shards):
    before = opened(shards).fingerprint
    write(shards / "other.tar")
    assert opened(shards).fingerprint == before
    os.utime(shards / "train-1.tar", ns=(1, 1))
    assert opened(shards).fingerprint != before


def test_a_shard_that_is_gone_is_named(shards):
    images = opened(shards)
    (shards / "train-0.tar").unlink()
    with pytest.raises(SaevError, match=r"train-0\.tar/a: no such file") as raised:
        images[0]
    assert not isinstance(raised.value, CorruptImage)
    np.testing.assert_array_equal(images[2].image, np.full((4, 5, 3), 40))
