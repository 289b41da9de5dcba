import numpy as np
import pytest
from PIL import Image

from saev.data import ImageFolder
from saev.errors import SaevError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("cat", 2), ("dog", 3)):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(
                tmp_path / "train" / name / f"{i}.png"
            )
    return tmp_path


def test_reads_class_folders_in_order(folder):
    images = ImageFolder(root=str(folder), split="train")
    assert images.classes == ("cat", "dog") and len(images) == 5
    assert [images[i].label for i in range(5)] == [0, 0, 1, 1, 1]
    assert (
        images[4].image.shape == (20, 30, 3) and images[4].pixel_labels is None
    )  # every pixel is of the class


def test_fingerprint_follows_the_files(folder):
    before = ImageFolder(root=str(folder), split="train").fingerprint
    assert ImageFolder(root=str(folder), split="train").fingerprint == before
    (folder / "train" / "cat" / "0.png").rename(folder / "train" / "cat" / "9.png")
    assert ImageFolder(root=str(folder), split="train").fingerprint != before


def test_a_truncated_image_is_named(folder):
    path = folder / "train" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SaevError, match=r"dog/1\.png: cannot be decoded"):
        ImageFolder(root=str(folder), split="train")[3]


@pytest.mark.parametrize("split", ["val", "train/cat"])
def test_missing_or_empty_folders_say_what_is_expected(folder, split):
    with pytest.raises(SaevError, match="expected .*<class>/<image>"):
        ImageFolder(root=str(folder), split=split)
