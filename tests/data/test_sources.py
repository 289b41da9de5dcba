"""Data sets of each layout, made small here: what they read, that labels stay on their pixels, and what broken files do."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from saev.data import IGNORE, Ade20k, CorruptImage, Cub, HuggingFace, ImageFolder, Preprocess, WebDataset
from saev.data.decode import decode, decode_mask
from saev.data.preprocess import Prepared
from saev.errors import SaevError


def jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=100, subsampling=0)
    return out.getvalue()


def coordinates(h: int, w: int) -> np.ndarray:
    """An image that encodes its own coordinates: red is the row, green the column."""
    row, column = np.mgrid[:h, :w].astype(np.uint8)
    return np.stack([row, column, 0 * row], axis=-1)


ADE_SHAPES = [(96, 140), (140, 96), (100, 100)]


@pytest.fixture
def ade(tmp_path):
    """Three images whose annotation is a class per 10 rows, 0 (background) in the first 10."""
    for split in ("training", "validation"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "annotations" / split).mkdir(parents=True)
        for i, (h, w) in enumerate(ADE_SHAPES):
            (tmp_path / f"images/{split}/ADE_{split}_{i}.jpg").write_bytes(jpeg(coordinates(h, w)))
            mask = np.repeat(np.arange(h, dtype=np.uint8)[:, None] // 10, w, axis=1)
            Image.fromarray(mask).save(tmp_path / f"annotations/{split}/ADE_{split}_{i}.png")
    names = ["wall", "building, edifice", *(f"thing {i}" for i in range(3, 151))]
    rows = [f"{i}\t0.1\t10\t1\t1\t{name}" for i, name in enumerate(names, 1)]
    (tmp_path / "objectInfo150.txt").write_text(
        "\n".join(["Idx\tRatio\tTrain\tVal\tStuff\tName   ", *rows]) + "\n"
    )
    return tmp_path


def test_ade20k_reads_its_layout(ade):
    images = Ade20k(root=str(ade), split="validation")
    assert len(images) == 3 and len(images.classes) == 151
    assert images.classes[:3] == ("background", "wall", "building, edifice")
    sample = images[0]
    assert sample.image.shape == (96, 140, 3) and sample.pixel_labels.dtype == np.uint16
    np.testing.assert_array_equal(sample.pixel_labels[:, 5], np.arange(96) // 10)
    assert sample.label == 1  # largest area but for the background, the first of equals


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
@pytest.mark.parametrize("crop_share", [1.0, 0.875])
def test_ade20k_labels_stay_on_their_pixels(ade, size, crop_share):
    """Every pixel that the backbone sees says which row it is from; its label must be the class of that row."""
    preprocess = Preprocess(
        size=size, mean=(0, 0, 0), std=(1, 1, 1), crop_share=crop_share, interpolation="bilinear"
    )
    images = Ade20k(root=str(ade), split="training")
    grid = (size[0] // 4, size[1] // 4)
    prepared = Prepared(images, preprocess, grid, purity=0.9)
    for i in range(3):
        pixels, patch_labels, _, present = prepared[i]
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


def test_ade20k_faults_name_the_file(ade):
    (ade / "annotations/training/ADE_training_1.png").unlink()
    with pytest.raises(SaevError, match=r"ADE_training_1\.png: no annotation"):
        Ade20k(root=str(ade), split="training")
    Image.new("L", (5, 5)).save(ade / "annotations/validation/ADE_validation_1.png")
    with pytest.raises(CorruptImage, match=r"ADE_validation_1\.png: mask is \(5, 5\), its image \(140, 96\)"):
        Ade20k(root=str(ade), split="validation")[1]
    (ade / "objectInfo150.txt").write_text("wall\nbuilding\n")
    with pytest.raises(SaevError, match=r"objectInfo150\.txt: expected tab-separated"):
        Ade20k(root=str(ade), split="validation")
    with pytest.raises(SaevError, match=r"images/test: no such directory"):
        Ade20k(root=str(ade), split="test")


@pytest.fixture
def cub(tmp_path):
    root = tmp_path / "CUB_200_2011"
    (root / "attributes").mkdir(parents=True)
    files = ["001.Albatross/a.jpg", "001.Albatross/b.jpg", "002.Auklet/c.jpg"]
    for file in files:
        (root / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / file).write_bytes(jpeg(coordinates(20, 30)))
    (root / "images.txt").write_text("".join(f"{i} {file}\n" for i, file in enumerate(files, 1)))
    (root / "classes.txt").write_text("1 001.Albatross\n2 002.Auklet\n")
    (root / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n")
    (root / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")
    (tmp_path / "attributes.txt").write_text("1 has_bill_shape::curved\n2 has_wing_color::blue\n")
    # The last line has the two extra columns that some lines of the original have.
    lines = ["1 1 1 3 5.2", "1 2 0 4 5.2", "2 1 0 1 1.0", "2 2 1 4 1.0", "3 1 1 4 2.0", "3 2 0 2 0 2.0 7"]
    (root / "attributes/image_attribute_labels.txt").write_text("\n".join(lines) + "\n")
    return root


def test_cub_reads_its_layout(cub):
    train, test, everything = (Cub(root=str(cub), split=split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (2, 1, 3)
    assert train.classes == ("001.Albatross", "002.Auklet")
    assert [train[i].label for i in range(2)] == [0, 1] and train[1].image.shape == (20, 30, 3)
    names, present, certainty = train.attributes
    assert names == ("has_bill_shape::curved", "has_wing_color::blue")
    np.testing.assert_array_equal(present, [[True, False], [True, False]])
    np.testing.assert_array_equal(certainty, [[3, 4], [4, 2]])
    with pytest.raises(SaevError, match="split must be one of train, test, all, got 'val'"):
        Cub(root=str(cub), split="val")
    (cub / "classes.txt").unlink()
    with pytest.raises(SaevError, match=r"classes\.txt: no such file"):
        Cub(root=str(cub), split="train")


@pytest.fixture(scope="module")
def hub_dataset(tmp_path_factory):
    """A data set as save_to_disk leaves it: two splits, ClassLabel and string labels, masks."""
    datasets = pytest.importorskip("datasets")
    path = tmp_path_factory.mktemp("hf") / "set"
    mask = np.arange(20, dtype=np.uint8).reshape(4, 5) % 3
    columns = {
        "picture": [Image.fromarray(coordinates(4, 5) + i) for i in range(3)],
        "species": [2, 0, 2],
        "name": ["cat", "ant", "cat"],
        "mask": [Image.fromarray(mask)] * 3,
    }
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "species": datasets.ClassLabel(names=["ant", "bee", "cat"]),
            "name": datasets.Value("string"),
            "mask": datasets.Image(),
        }
    )
    rows = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": rows, "validation": rows.select([1])}).save_to_disk(path)
    return str(path)


def test_hugging_face_reads_columns_by_name(hub_dataset):
    images = HuggingFace(
        path=hub_dataset, split="train", image="picture", label="species", pixel_labels="mask"
    )
    assert len(images) == 3 and images.classes == ("ant", "bee", "cat")
    np.testing.assert_array_equal(images[1].image, coordinates(4, 5) + 1)
    assert [images[i].label for i in range(3)] == [2, 0, 2]
    np.testing.assert_array_equal(images[0].pixel_labels, np.arange(20).reshape(4, 5) % 3)
    by_name = HuggingFace(path=hub_dataset, split="train", image="picture", label="name")
    assert by_name.classes == ("ant", "cat") and [by_name[i].label for i in range(3)] == [1, 0, 1]
    unlabelled = HuggingFace(path=hub_dataset, split="validation", image="picture", label=None)
    assert len(unlabelled) == 1 and unlabelled[0].label == IGNORE
    assert (
        HuggingFace(path=hub_dataset, split="train", image="picture", label="name").fingerprint
        == by_name.fingerprint
    )
    assert len({images.fingerprint, by_name.fingerprint, unlabelled.fingerprint}) == 3


def test_hugging_face_masks_without_a_label_column(hub_dataset):
    images = HuggingFace(
        path=hub_dataset,
        split="train",
        image="picture",
        label=None,
        pixel_labels="mask",
        classes=["a", "b", "c"],
    )
    assert images[0].label == IGNORE and set(np.unique(images[0].pixel_labels)) == {0, 1, 2}
    with pytest.raises(SaevError, match="need the names of their classes"):
        HuggingFace(path=hub_dataset, split="train", image="picture", label=None, pixel_labels="mask")


def test_hugging_face_single_split_is_not_taken_for_another(hub_dataset, tmp_path):
    import datasets

    datasets.load_from_disk(hub_dataset)["train"].save_to_disk(tmp_path / "one")
    with pytest.raises(SaevError, match="holds the one split 'None', not 'validation'"):
        HuggingFace(path=str(tmp_path / "one"), split="validation", image="picture", label="species")


def test_hugging_face_faults_are_one_line(hub_dataset, tmp_path):
    for options, message in (
        ({"split": "test"}, r"no split 'test'; it has \['train', 'validation'\]"),
        ({"split": "train"}, "no column 'image'"),
        ({"split": "train", "image": "picture", "label": "kind"}, "no column 'kind'"),
    ):
        with pytest.raises(SaevError, match=message):
            HuggingFace(path=hub_dataset, **options)
    with pytest.raises(SaevError, match="cannot be loaded"):
        HuggingFace(path=str(tmp_path), split="train")


@pytest.fixture
def shards(tmp_path):
    """Two shards of two samples; the second key of each lies in a folder and has a dot in its extension."""
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    for s in range(2):
        with tarfile.open(tmp_path / f"train-{s}.tar", "w") as tar:
            for key, i in (("a", 2 * s), ("sub/b", 2 * s + 1)):
                for extension, content in (
                    ("jpg", jpeg(coordinates(8, 9) + 20 * i)),
                    ("cls", str(i % 2).encode()),
                    ("seg.json", b"{}"),
                ):
                    member = tarfile.TarInfo(f"{key}.{extension}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return tmp_path


def test_web_dataset_reads_any_sample_by_position(shards):
    images = WebDataset(shards=f"{shards}/train-*.tar", classes=f"{shards}/classes.txt")
    assert len(images) == 4 and images.classes == ("ant", "bee")
    assert images.name(3).endswith("train-1.tar/sub/b")
    for i in (3, 0, 2, 1):
        assert images[i].label == i % 2
        assert abs(int(images[i].image[0, 0, 0]) - 20 * i) <= 2
    assert WebDataset(shards=f"{shards}/train-*.tar")[1].label == IGNORE


def test_web_dataset_faults_name_the_shard(shards):
    with pytest.raises(SaevError, match="no shard matches"):
        WebDataset(shards=f"{shards}/val-*.tar")
    whole = (shards / "train-1.tar").read_bytes()
    with tarfile.open(shards / "train-1.tar") as tar:
        second = tar.getmembers()[1]
    # Inside a member, and, which tarfile itself does not notice, between two.
    for cut, message in ((second.offset_data + 1, "cannot be read"), (second.offset, "cut short")):
        (shards / "train-1.tar").write_bytes(whole[:cut])
        with pytest.raises(SaevError, match=rf"train-1\.tar: {message}"):
            WebDataset(shards=f"{shards}/train-*.tar")
    (shards / "train-1.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(SaevError, match=r"train-1\.tar: cannot be read as an uncompressed tar"):
        WebDataset(shards=f"{shards}/train-*.tar")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_broken_images_are_corrupt_wherever_they_are_cut(kind):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(out, kind)
    whole = out.getvalue()
    assert decode(whole, "x").shape == (40, 40, 3)
    for share in (0, 0.01, 0.3, 0.7):
        with pytest.raises(CorruptImage, match="seven: cannot be decoded"):
            decode(whole[: int(share * len(whole))], "seven")
    with pytest.raises(CorruptImage, match="cannot be decoded as a mask"):
        decode_mask(whole[:50], "m", (40, 40), 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_void_pixels_of_masks_are_ignored(dtype):
    """255 in an 8-bit mask must not stay 255, which is a class of larger data sets."""
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 1], [2, 255]], dtype)).save(out, "PNG")
    np.testing.assert_array_equal(decode_mask(out.getvalue(), "m", (2, 2), 2), [[0, 1], [IGNORE, IGNORE]])


def test_deep_images_keep_their_range():
    """Pillow's own conversion cuts 16 bits off at 255."""
    ramp = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    np.testing.assert_array_equal(decode(out.getvalue(), "x")[..., 1], ramp >> 8)
    out = io.BytesIO()
    Image.fromarray(np.ones((4, 4), np.float32)).save(out, "TIFF")
    with pytest.raises(CorruptImage, match="mode 'F' have no known range"):
        decode(out.getvalue(), "x")


def test_a_missing_image_keeps_its_place(tmp_path):
    """By choice fatal or missing; the images after it are not shifted."""
    for i in range(3):
        (tmp_path / "train" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"train/a/{i}.jpg").write_bytes(
            jpeg(np.full((16, 16, 3), 50 * i, np.uint8)) if i != 1 else b"no image"
        )
    images = ImageFolder(root=str(tmp_path), split="train")
    preprocess = Preprocess(size=(16, 16), mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(CorruptImage, match=r"train/a/1\.jpg: cannot be decoded"):
        Prepared(images, preprocess, (2, 2), purity=0.9)[1]
    prepared = Prepared(images, preprocess, (2, 2), purity=0.9, corrupt_ok=True)
    pixels, patch_labels, label, present = prepared[1]
    assert not present and label == IGNORE and (patch_labels == IGNORE).all() and not pixels.any()
    assert prepared[2][0].mean() == pytest.approx(100, abs=1) and prepared[2][3]
    assert torch.utils.data.default_collate([prepared[0][0], prepared[2][0]]).shape == (2, 16, 16, 3)
