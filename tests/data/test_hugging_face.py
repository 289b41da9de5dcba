"""Data sets as save_to_disk leaves them, and as snapshots of parquet files: one numbering for all splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from saev.data import IGNORE, CorruptImage, HuggingFace
from saev.data.numbering import names_of_integers, number_integers, number_strings
from saev.errors import SaevError
from tests.data.images import coordinates, encoded, exif

datasets = pytest.importorskip("datasets")

MASK = np.arange(20, dtype=np.uint8).reshape(4, 5) % 3


def rows(feature, labels, masks=False, images=None):
    """A picture and a label per row, in a column of that type."""
    features = {"image": datasets.Image(), "label": feature}
    columns = {"image": images or [Image.fromarray(coordinates(4, 5) + i) for i in range(len(labels))]}
    if masks:
        features["mask"], columns["mask"] = datasets.Image(), [Image.fromarray(MASK)] * len(labels)
    return datasets.Dataset.from_dict({**columns, "label": labels}, features=datasets.Features(features))


def saved(path, **splits):
    datasets.DatasetDict(splits).save_to_disk(path)
    return str(path)


def labels(path, split, **options):
    images = HuggingFace(path=path, split=split, **options)
    return images.classes, [images[i].label for i in range(len(images))]


INTEGER, STRING = datasets.Value("int64"), datasets.Value("string")
ANIMALS = datasets.ClassLabel(names=["ant", "bee", "cat"])


def test_reads_columns_by_name(tmp_path):
    path = saved(tmp_path / "set", train=rows(ANIMALS, [2, 0, -1, None], masks=True), val=rows(ANIMALS, [1]))
    images = HuggingFace(path=path, split="train", pixel_labels="mask")
    assert len(images) == 4 and images.classes == ("ant", "bee", "cat")
    np.testing.assert_array_equal(images[1].image, coordinates(4, 5) + 1)
    np.testing.assert_array_equal(images[0].pixel_labels, MASK)
    assert [images[i].label for i in range(4)] == [2, 0, IGNORE, IGNORE]
    assert labels(path, "val") == (("ant", "bee", "cat"), [1])
    unlabelled = HuggingFace(path=path, split="train", label=None, classes=["ant", "bee", "cat"])
    assert unlabelled.classes == () and unlabelled[0].label == IGNORE
    again = HuggingFace(path=path, split="train", label=None)
    assert images.fingerprint != unlabelled.fingerprint == again.fingerprint


NUMBERINGS = {
    # column, labels of train and val, option classes -> classes, indices of train and val
    "integers are indices": (INTEGER, [0, 1, 2], [1, 2], ["zero", "one", "two"], None, [0, 1, 2], [1, 2]),
    "small integers": (datasets.Value("uint8"), [7, 0], [3], [*"abcdefgh"], None, [7, 0], [3]),
    "integers without names": (INTEGER, [0, 1, 2], [1, 2], None, ("0", "1", "2"), [0, 1, 2], [1, 2]),
    "no label": (INTEGER, [-1, None, 0], [-1], ["zero"], None, [IGNORE, IGNORE, 0], [IGNORE]),
    "no label, no names": (INTEGER, [-1, 1, 0], [None], None, ("0", "1"), [IGNORE, 1, 0], [IGNORE]),
    "strings by position": (STRING, ["cat", "dog", "dog"], ["dog"], ["dog", "cat"], None, [1, 0, 0], [0]),
    "strings in order": (
        STRING,
        ["cat", "ant", None],
        ["bee"],
        None,
        ("ant", "bee", "cat"),
        [2, 0, IGNORE],
        [1],
    ),
    "more names than labels": (STRING, ["cat"], ["dog"], ["ox", "cat", "dog"], None, [1], [2]),
    "other names": (ANIMALS, [0, 2], [1], ["Ameise", "Biene", "Katze"], None, [0, 2], [1]),
    "the same names": (ANIMALS, [0, 2], [1], ["ant", "bee", "cat"], None, [0, 2], [1]),
}


@pytest.mark.parametrize("case", NUMBERINGS)
def test_splits_share_one_numbering(tmp_path, case):
    feature, train, val, classes, names, train_indices, val_indices = NUMBERINGS[case]
    path = saved(tmp_path / "set", train=rows(feature, train), val=rows(feature, val))
    expected = names or tuple(classes)
    assert labels(path, "train", classes=classes) == (expected, train_indices)
    assert labels(path, "val", classes=classes) == (expected, val_indices)


REFUSED = {
    "gap": (
        INTEGER,
        [1, 2, 3],
        {},
        r"holds the integers 1, 2, 3, not 0, 1, 2, \.\.\. .*; give data\.classes",
    ),
    "many": (INTEGER, [*range(1, 9)], {}, r"holds the integers 1, 2, 3, 4, 5, \.\.\., not"),
    "too large": (INTEGER, [0, 2], {"classes": ["a", "b"]}, r"holds 2; expected 0 to 1, or -1 for no label"),
    "negative": (INTEGER, [0, -2], {"classes": ["a", "b"]}, "holds -2; expected 0 to 1, or -1"),
    "unknown": (STRING, ["a", "c"], {"classes": ["a", "b"]}, r"holds 'c', which is not in data\.classes"),
    "twice": (STRING, ["a"], {"classes": ["a", "b", "a"]}, r"so data\.classes must have each name once"),
    "fewer": (ANIMALS, [0], {"classes": ["ant", "bee"]}, r"has 3 classes, data\.classes names 2"),
    "swapped": (
        ANIMALS,
        [0],
        {"classes": ["bee", "ant", "cat"]},
        r"calls class 0 'ant', but data\.classes calls it 'bee', the name of class 1",
    ),
    "no names": (INTEGER, [0, 1], {"classes": "cat"}, r"data\.classes must be a list of names .*, got 'cat'"),
    "yaml's no": (
        INTEGER,
        [0, 1],
        {"classes": ["yes", False]},
        r"must be a list of names .*, got \['yes', False",
    ),
    "floats": (datasets.Value("float32"), [0.5], {}, "expected a ClassLabel, integers or strings"),
    "no column": (
        INTEGER,
        [0],
        {"label": "kind"},
        r"no column 'kind' \(option label\); it has \['image', 'label'\]",
    ),
    "no image": (INTEGER, [0], {"image": "label"}, "column 'label' holds .*; expected images"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_that_are_no_class_are_refused(tmp_path, case):
    feature, values, options, message = REFUSED[case]
    path = saved(tmp_path / "set", train=rows(feature, values))
    with pytest.raises(SaevError, match=message):
        HuggingFace(path=path, split="train", **options)


@given(st.lists(st.one_of(st.none(), st.integers(-3, 6)), max_size=8))
def test_integers_are_never_shifted(values):
    """An accepted integer is its own index, and is that of its name."""
    try:
        names = names_of_integers(lambda: values, "column")
        index = number_integers(values, names, "column")
    except SaevError:
        # There is a gap in 0, 1, 2, ..., or what is neither a class nor the -1 of no label.
        found = {value for value in values if value is not None and value != -1}
        assert found != set(range(len(found)))
    else:
        for value in values:
            assert (index[value] == IGNORE) if value in (None, -1) else (index[value] == int(names[value]))


@given(st.permutations("abcde"), st.lists(st.sampled_from("abcdef"), max_size=6))
def test_strings_are_found_by_name(names, values):
    try:
        index = number_strings(values, tuple(names), "column")
    except SaevError:
        assert "f" in values
    else:
        assert [names[index[value]] for value in values] == values


MASKED = {
    # column, labels, options -> refused
    "named column": (ANIMALS, [1, 2], {}, False),
    "names": (INTEGER, [1, 2], {"classes": ["a", "b", "c"]}, False),
    "names for strings": (STRING, ["c", "b"], {"classes": ["a", "b", "c"]}, False),
    "no labels, names": (INTEGER, [9, 8], {"label": None, "classes": ["a", "b", "c"]}, False),
    "integers": (INTEGER, [0, 1], {}, True),
    "strings": (STRING, ["a", "b"], {}, True),
    "no labels": (INTEGER, [0, 1], {"label": None}, True),
}


@pytest.mark.parametrize("case", MASKED)
def test_masks_share_the_numbering_of_the_labels(tmp_path, case):
    feature, values, options, refused = MASKED[case]
    path = saved(tmp_path / "set", train=rows(feature, values, masks=True))
    if refused:
        with pytest.raises(SaevError, match="masks need the names of their classes in order"):
            HuggingFace(path=path, split="train", pixel_labels="mask", **options)
    else:
        images = HuggingFace(path=path, split="train", pixel_labels="mask", **options)
        np.testing.assert_array_equal(images[1].pixel_labels, MASK)
        assert len(images.classes) == 3 and images[0].label in (1, 2, IGNORE)


def test_images_stand_upright(tmp_path):
    """As `datasets` itself shows them, so masks made from such images fit too."""
    data = encoded(coordinates(16, 24), "JPEG", exif=exif(6))
    path = saved(tmp_path / "set", train=rows(ANIMALS, [0], images=[{"bytes": data, "path": None}]))
    theirs = np.asarray(datasets.load_from_disk(path)["train"][0]["image"])
    np.testing.assert_array_equal(HuggingFace(path=path, split="train")[0].image, theirs)


def test_faults_of_images_name_the_row(tmp_path):
    path = saved(
        tmp_path / "set", train=rows(ANIMALS, [0, 1], images=[{"bytes": b"no image", "path": None}, None])
    )
    broken = HuggingFace(path=path, split="train")
    for i, message in enumerate(("cannot be decoded as an image .no known", "column 'image' is empty")):
        with pytest.raises(CorruptImage, match=rf"set\[train\]\[{i}\]: {message}"):
            broken[i]


def test_a_single_split_is_not_taken_for_another(tmp_path):
    rows(ANIMALS, [0]).save_to_disk(tmp_path / "one")
    with pytest.raises(SaevError, match="holds the one split 'None', not 'validation'"):
        HuggingFace(path=str(tmp_path / "one"), split="validation")


def test_what_cannot_be_loaded_is_one_line(tmp_path):
    path = saved(tmp_path / "set", train=rows(ANIMALS, [0]), val=rows(ANIMALS, [1]))
    with pytest.raises(SaevError, match=r"no split 'test'; it has \['train', 'val'\]"):
        HuggingFace(path=path, split="test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SaevError, match=r"empty: cannot be loaded \(.+\)$"):
        HuggingFace(path=str(tmp_path / "empty"), split="train")


def test_a_snapshot_of_parquet_files(tmp_path, monkeypatch):
    """As `hf download` leaves a repository, without a network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "snapshot/data").mkdir(parents=True)
    for split, values in (("train", [0, 1, 2]), ("validation", [1, 2])):
        rows(INTEGER, values).to_parquet(tmp_path / f"snapshot/data/{split}-00000-of-00001.parquet")
    path = str(tmp_path / "snapshot")
    assert labels(path, "train") == (("0", "1", "2"), [0, 1, 2])
    assert labels(path, "validation") == (("0", "1", "2"), [1, 2])
    assert labels(path, "train[:2]")[1] == [0, 1]
    with pytest.raises(SaevError, match=r"snapshot: cannot be loaded \(Unknown split"):
        HuggingFace(path=path, split="test")
