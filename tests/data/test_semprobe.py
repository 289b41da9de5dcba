"""Concepts told by images that show them and images that do not."""

import os
from collections import Counter

import numpy as np
import pytest

from saev.data import IGNORE, CorruptImage, SemProbe
from saev.errors import SaevError
from saev.probing import described
from saev.probing.folds import folds
from tests.activations.examples import make
from tests.data.images import coordinates, encoded, write

BLUE = ("blue-sky-negative/1.png", "blue-sky-positive/1.png")
RED = ("red-negative/1.png", "red-negative/deep/1.png", "red-positive/1.png")
FILES = (*BLUE, *RED)


def tree(root, *files):
    for file in files or FILES:
        write(root / file)
    return SemProbe(root=str(root))


def told(images, i):
    """{concept: what is said of image i}."""
    (concepts,) = images[i].regions.concepts_rc.tolist()
    return dict(zip(images.concepts, concepts, strict=True))


def test_an_image_tells_of_one_concept(tmp_path):
    images = tree(tmp_path)
    assert images.described == "images" and images.concepts == ("blue-sky", "red") and images.classes == ()
    expected = [("blue-sky", 0), ("blue-sky", 1), ("red", 0), ("red", 0), ("red", 1)]
    assert [told(images, i) for i in range(len(images))] == [
        {"blue-sky": -1, "red": -1, concept: shown} for concept, shown in expected
    ]
    assert all(images[i].label == IGNORE and images[i].pixel_labels is None for i in range(5))
    np.testing.assert_array_equal(images[0].image, coordinates(4, 5))


def test_each_image_is_a_cluster_named_by_its_path(tmp_path):
    """Also where files of different folders are called alike."""
    images = tree(tmp_path)
    assert images.clusters == FILES
    assert [images.clusters[int(images[i].regions.cluster_r[0])] for i in range(5)] == list(FILES)
    assert [images.name(i) for i in range(5)] == [str(tmp_path / file) for file in FILES]


def test_splits_of_one_folder_are_cross_fitted_by_image(tiny_vit, tmp_path):
    """Wherever the folder lies, and whatever number an image has there."""
    names = [f"red-{side}/{i}.png" for side in ("positive", "negative") for i in range(5)]
    tree(tmp_path / "a", *names)
    more = tree(tmp_path / "b", *names, "red-negative/-.png")  # which comes first
    train = described(make(tiny_vit, tmp_path / "train", SemProbe(root=str(tmp_path / "a"))))
    val = described(make(tiny_vit, tmp_path / "val", more))
    parts = folds(train, val)
    chosen_in = {train.clusters[g]: int(f) for g, f in zip(train.cluster, parts.train_u, strict=True)}
    judged_in = {val.clusters[g]: int(f) for g, f in zip(val.cluster, parts.val_u, strict=True)}
    assert parts.n == 4 and Counter(chosen_in.values()).keys() == {0, 1, 2, 3}
    assert all(judged_in[name] == chosen_in[name] for name in names)  # part f is chosen by the others


def test_leftovers_and_other_files_are_no_images(tmp_path):
    for file in ("red-positive/._1.png", "__MACOSX/x.png", ".cache/y.png", "README.md", "red-negative/a.txt"):
        write(tmp_path / file)
    assert tree(tmp_path).clusters == FILES


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["red-positive/1.png"], r"/red-negative: no images; a concept needs both sides$"),
        (["red-positive/1.png", "red-negative/1.txt"], r"/red-negative: no images; a concept needs both"),
        ([*FILES, "ant-positive/1.heic", "ant-negative/1.heic"], r"/ant-positive: no images; a concept"),
        ([*FILES, "red/1.png"], r"/red: must be called <concept>-positive or <concept>-negative$"),
        ([*FILES, "red-Positive/deep/1.png"], r"/red-Positive: must be called"),
        ([*FILES, "-positive/1.png", "-negative/1.png"], r"/-negative: must be called"),
        ([*FILES, "1.png"], r": 1\.png lies in no folder; expected \S+/<concept>-\{positive,negative\}/<"),
        (["README.md"], r": no images; expected \S+/<concept>-\{positive,negative\}/<image>$"),
    ],
)
def test_what_is_of_no_concept_is_one_line(tmp_path, files, message):
    with pytest.raises(SaevError, match=message):
        tree(tmp_path, *files)


def test_a_missing_folder_says_what_is_expected(tmp_path):
    with pytest.raises(SaevError, match=r"nowhere: no such directory; expected \S+nowhere/<concept>-\{pos"):
        SemProbe(root=str(tmp_path / "nowhere"))


CHANGES = {
    "moved to the other side": lambda root: (root / RED[0]).rename(root / "red-positive/0.png"),
    "replaced by one of the same size": lambda root: os.utime(root / RED[0], ns=(1, 1)),
    "added": lambda root: write(root / "red-negative/2.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_follows_the_files(tmp_path, change):
    before = tree(tmp_path).fingerprint
    write(tmp_path / "red-negative/notes.txt")
    assert SemProbe(root=str(tmp_path)).fingerprint == before
    CHANGES[change](tmp_path)
    assert SemProbe(root=str(tmp_path)).fingerprint != before


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    tree(tmp_path)
    write(tmp_path / FILES[0], encoded(coordinates(40, 40))[:60])
    with pytest.raises(CorruptImage, match=r"blue-sky-negative/1\.png: cannot be decoded"):
        SemProbe(root=str(tmp_path))[0]
