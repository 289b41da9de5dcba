"""What a store holds, and that interruptions leave no trace in it."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
import zarr

from saev.activations import Recording, Store, record
from saev.data import IGNORE, Mosaic, majority_labels
from saev.errors import SaevError

OPTIONS = {"layers": [1, 2], "options": Recording(chunk=8, batch_size=4), "workers": 0, "precision": "fp32"}


def digest(path):
    """Hash of every file under `path`, with its name."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return hashlib.sha256(
        b"".join(p.relative_to(path).as_posix().encode() + p.read_bytes() for p in files)
    ).hexdigest()


def test_holds_the_backbones_activations_and_labels(stores, tiny_vit):
    images, store = Mosaic(split="train", n=40, size=64), stores["train"]
    assert (store.n_images, store.n_tokens, store.d, store.layers) == (40, 17, 24, (1, 2))
    for i in (0, 7, 8, 39):
        pixels = tiny_vit.preprocess.normalise(
            torch.from_numpy(tiny_vit.preprocess.crop(images[i].image))[None]
        )
        with torch.inference_mode():
            expected = tiny_vit.prefix(pixels, [1, 2])
        for layer, acts in zip((1, 2), expected, strict=True):
            np.testing.assert_allclose(store.acts(layer)[i], acts[0].numpy(), rtol=2e-3, atol=2e-3)  # float16
        cropped = tiny_vit.preprocess.crop_labels(images[i].pixel_labels)
        np.testing.assert_array_equal(store.patch_labels()[i], majority_labels(cropped, (4, 4)))
        assert store.image_labels()[i] == images[i].label
    assert (store.patch_labels() != IGNORE).mean() > 0.3


def test_a_stranger_reads_it_with_plain_zarr(stores):
    group = zarr.open_group(str(stores["val"].path), mode="r")
    assert group["acts/2"].shape == (12, 17, 24) and group["acts/2"].dtype == np.float16
    assert group.attrs["complete"] is True


@pytest.mark.parametrize("lost", [["acts/1/c/2/0/0"], ["labels/image/c/0", "acts/2/c/4/0/0"]])
def test_resuming_gives_the_bytes_of_an_undisturbed_run(stores, tiny_vit, tmp_path, lost):
    partial = tmp_path / "working" / "store"
    shutil.copytree(stores["train"].path, partial)
    for file in lost:
        (partial / file).unlink()
    (partial / "acts/1/c/1/0/0.1234.partial").write_bytes(b"half a chunk")
    group = zarr.open_group(str(partial), mode="r+")
    del group.attrs["complete"], group.attrs["stats"], group.attrs["missing"]
    shutil.rmtree(partial / "stats")

    forwards = []
    hook = tiny_vit.blocks[0].register_forward_hook(lambda _, __, out: forwards.append(len(out)))
    store = record(
        tiny_vit,
        Mosaic(split="train", n=40, size=64),
        tmp_path / "out",
        working=tmp_path / "working",
        **OPTIONS,
    )
    hook.remove()
    assert sum(forwards) == 8 * len(lost)  # only the missing chunks were computed
    assert digest(store.path) == digest(stores["train"].path)


def test_zeros_are_written_and_count_as_written(tiny_vit, tmp_path):
    class Black(Mosaic):
        def __getitem__(self, i):
            return super().__getitem__(i)._replace(label=0)

    store = record(
        tiny_vit, Black(split="val", n=9, size=64), tmp_path / "out", working=tmp_path / "w", **OPTIONS
    )
    assert (store.image_labels() == 0).all()
    assert (store.path / "labels/image/c/1").is_file()


@pytest.mark.parametrize(
    ("value", "what"),
    [(float("nan"), "is NaN"), (7e4, "does not fit float16"), (-1e5, "does not fit float16")],
)
def test_values_that_float16_cannot_hold_name_layer_and_image(tiny_vit, tmp_path, value, what, monkeypatch):
    prefix = type(tiny_vit).prefix

    def broken(self, pixels, layers):
        acts = prefix(self, pixels, layers)
        acts[1][2, 3, 4] = value
        return acts

    monkeypatch.setattr(type(tiny_vit), "prefix", broken)
    with pytest.raises(SaevError, match=rf"layer 2, image 2 \(mosaic/val/2\): .* {what}"):
        record(
            tiny_vit, Mosaic(split="val", n=4, size=64), tmp_path / "out", working=tmp_path / "w", **OPTIONS
        )
    assert not (tmp_path / "out").exists()


def test_refuses_what_is_not_a_complete_store_of_this_schema(stores, tmp_path):
    with pytest.raises(SaevError, match="no activation store"):
        Store(tmp_path)
    shutil.copytree(stores["val"].path, tmp_path / "s")
    group = zarr.open_group(str(tmp_path / "s"), mode="r+")
    group.attrs["schema"] = 99
    with pytest.raises(SaevError, match="schema is 99"):
        Store(tmp_path / "s")
    group.attrs["schema"] = 3
    del group.attrs["complete"]
    with pytest.raises(SaevError, match="incomplete"):
        Store(tmp_path / "s")
    with pytest.raises(SaevError, match=r"layer 0 is not recorded; it holds \[1, 2\]"):
        stores["val"].acts(0)
    assert stores["val"].layer(-1) == 2
