"""What a store holds, and that interruptions leave no trace in it."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from saev.activations import Recording, inspect_store, record
from saev.backbones import timm_vit
from saev.data import IGNORE, Mosaic, Sample, majority_labels
from saev.data.sample import NO_CLUSTER, UNKNOWN
from saev.errors import SaevError
from saev.machine import Machine
from tests.activations.examples import CPU, MISSING, SPANS, Damaged, Odd, make


def digest(path):
    """Hash of every file under `path`, with its name."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return hashlib.sha256(
        b"".join(p.relative_to(path).as_posix().encode() + p.read_bytes() for p in files)
    ).hexdigest()


def unfinished(store, working):
    """A copy of a store in `working`, as it is before its statistics are written."""
    partial = working / "store"
    shutil.copytree(store.path, partial)
    group = zarr.open_group(str(partial), mode="r+")
    for key in ("complete", "sha256", "stats", "missing"):
        del group.attrs[key]
    shutil.rmtree(partial / "stats")
    return partial


def pixels(backbone, images, numbers):
    crops = np.stack([backbone.preprocess.crop(images[i].image) for i in numbers])
    return backbone.preprocess.normalise(torch.from_numpy(crops))


def test_holds_the_backbones_activations_and_labels(stores, tiny_vit):
    images, store = Mosaic(split="train", n=40, size=64), stores["train"]
    assert (store.n_images, store.n_tokens, store.d, store.layers) == (40, 17, 24, (1, 2))
    for i in (0, 7, 8, 39):
        with torch.inference_mode():
            expected = tiny_vit.prefix(pixels(tiny_vit, images, [i]), [1, 2])
        for layer, acts in zip((1, 2), expected, strict=True):
            np.testing.assert_allclose(store.acts(layer)[i], acts[0].numpy(), rtol=2e-3, atol=2e-3)  # float16
        cropped = tiny_vit.preprocess.crop_labels(images[i].pixel_labels)
        np.testing.assert_array_equal(store.patch_labels()[i], majority_labels(cropped, (4, 4)))
        assert store.image_labels()[i] == images[i].label
    assert (store.patch_labels() != IGNORE).mean() > 0.3


def test_token_kinds_are_those_of_the_model(registers, whole, tmp_path):
    images = Mosaic(split="train", n=20, size=84)
    every = make(registers, tmp_path / "every", images)
    assert every.spans == {"cls": (0, 1), "register": (1, 5), "patch": (5, 29)} and every.grid == (4, 6)
    assert whole.spans == SPANS
    some = make(registers, tmp_path / "some", images, tokens=["meanpool", "cls"], dtype="float32")
    assert some.spans == {"cls": (0, 1), "meanpool": (1, 2)}
    with torch.inference_mode():
        (expected,) = registers.prefix(pixels(registers, images, range(4)), [1])
    np.testing.assert_array_equal(every.acts(1)[:4], expected.half())
    np.testing.assert_array_equal(whole.acts(1)[:4, :29], expected.half())
    np.testing.assert_array_equal(some.acts(1)[:4, 0], expected[:, 0])
    torch.testing.assert_close(torch.from_numpy(some.acts(1)[:4, 1]), expected[:, 5:].mean(1))
    norms = np.linalg.norm(whole.acts(1)[:].astype(np.float64), axis=-1)
    np.testing.assert_allclose(whole.norms(1), norms, rtol=1e-6)
    assert whole.attrs["stats"]["1"]["register"]["median_norm"] == pytest.approx(np.median(norms[:, 1:5]))


def test_every_array_gets_its_own_values(registers, tmp_path):
    """Layers in any order, named twice and from the end, are those of one pass each."""
    images = Mosaic(split="val", n=9, size=84)
    both = make(registers, tmp_path / "both", images, layers=(1, 0, -1))
    assert both.layers == (0, 1)
    for layer in (0, 1):
        alone = make(registers, tmp_path / str(layer), images, layers=(layer,))
        np.testing.assert_array_equal(both.acts(layer)[:], alone.acts(layer)[:])
        np.testing.assert_array_equal(both.norms(layer), alone.norms(layer))
        np.testing.assert_array_equal(both.patch_labels(), alone.patch_labels())
        np.testing.assert_array_equal(both.image_labels(), alone.image_labels())
        for a, b in zip(both.tokens(layer).normalisation(), alone.tokens(layer).normalisation(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_stranger_reads_it_with_plain_zarr(stores):
    group = zarr.open_group(str(stores["val"].path), mode="r")
    assert group["acts/2"].shape == (12, 17, 24) and group["acts/2"].dtype == np.float16
    assert group.attrs["complete"] is True


def test_the_split_is_on_record(tiny_vit, tmp_path):
    images = Mosaic(split="val", n=2, size=64)
    assert make(tiny_vit, tmp_path / "named", images, split="val").split == "val"
    assert make(tiny_vit, tmp_path / "unnamed", images).split is None


def test_missing_images_are_named_counted_and_never_shift_the_others(damaged, whole):
    assert damaged.attrs["missing"] == [f"mosaic/train/{i}" for i in MISSING]
    there = np.setdiff1d(np.arange(20), MISSING)
    np.testing.assert_array_equal(np.flatnonzero(damaged.present), there)
    np.testing.assert_array_equal(damaged.acts(1)[:][there], whole.acts(1)[:][there])
    np.testing.assert_array_equal(damaged.patch_labels()[there], whole.patch_labels()[there])
    for i in MISSING:  # loud, should anyone average over them
        assert np.isnan(damaged.acts(1)[i]).all() and np.isnan(damaged.norms(1)[i]).all()
        assert (damaged.patch_labels()[i] == IGNORE).all() and damaged.image_labels()[i] == IGNORE
    assert damaged.attrs["weights"] == whole.attrs["weights"] and inspect_store(damaged.path).whole


def test_a_large_store_is_sampled_for_its_statistics(stores, monkeypatch):
    from saev.activations import normalisation

    group = zarr.open_group(str(stores["train"].path), mode="r")
    monkeypatch.setattr(normalisation, "MOST_VECTORS", 3 * 8 * 16)
    mean, _ = normalisation.statistics(group, 2, np.arange(1, 17))
    acts = stores["train"].acts(2)[:, 1:].astype(np.float64)
    x = np.concatenate([acts[c * 8 : c * 8 + 8] for c in (0, 2, 4)]).reshape(-1, 24)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-9)


@pytest.mark.parametrize("lost", [["acts/1/c/2/0/0"], ["labels/image/c/0", "acts/2/c/4/0/0"]])
def test_resuming_gives_the_bytes_of_an_undisturbed_run(stores, tiny_vit, tmp_path, lost):
    partial = unfinished(stores["train"], tmp_path / "w")
    for file in lost:
        (partial / file).unlink()
    (partial / "acts/1/c/1/0/0.1234.partial").write_bytes(b"half a chunk")

    forwards = []
    hook = tiny_vit.blocks[0].register_forward_hook(lambda _, __, out: forwards.append(len(out)))
    store = make(tiny_vit, tmp_path, Mosaic(split="train", n=40, size=64), layers=[1, 2])
    hook.remove()
    assert sum(forwards) == 8 * len(lost)  # only the missing chunks were computed
    assert digest(store.path) == digest(stores["train"].path)


def test_a_damaged_chunk_is_recorded_again_on_resume(stores, tiny_vit, tmp_path):
    chunk = unfinished(stores["train"], tmp_path / "w") / "acts/1/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:1000])  # what a power failure may leave
    resumed = make(tiny_vit, tmp_path, Mosaic(split="train", n=40, size=64), layers=[1, 2])
    assert digest(resumed.path) == digest(stores["train"].path)


def test_an_unfinished_store_without_all_its_arrays_is_begun_anew(stores, tiny_vit, tmp_path):
    """What two runs at once may leave."""
    shutil.rmtree(unfinished(stores["train"], tmp_path / "w") / "labels/present")
    store = make(tiny_vit, tmp_path, Mosaic(split="train", n=40, size=64), layers=[1, 2])
    assert digest(store.path) == digest(stores["train"].path)


def test_an_unfinished_store_of_another_configuration_is_not_continued(tiny_vit, tmp_path):
    images = Mosaic(split="val", n=9, size=64)
    partial = tmp_path / "w" / "store"
    shutil.copytree(make(tiny_vit, tmp_path, images).path, partial)
    before = digest(partial)
    for options, message in (
        ({"dtype": "float32"}, "dtype 'float16', this run 'float32'"),
        ({"chunk": 4}, "chunk 8, this run 4"),
        ({"batch_size": 2}, "batch_size 4, this run 2"),
        ({"purity": 0.5}, r"purity 0\.9, this run 0\.5"),
        ({"corrupt": "missing"}, "corrupt 'fatal', this run 'missing'"),
        ({"split": "val"}, "split None, this run 'val'"),
        ({"layers": [0, 1]}, r"layers \[1\], this run \[0, 1\]"),
        ({"tokens": ["patch"]}, "spans {'cls'"),
        ({"images": Mosaic(split="val", n=9, size=64, seed=1)}, "data '"),
        (
            {"machine": Machine(accelerator="cpu", precision="bf16")},
            "computed 'fp32 on cpu, torch .* 'bf16 on",
        ),
        (
            {"backbone": timm_vit(model="test_vit", pretrained=False, img_size=64)},
            "backbone 'tiny', this run 'timm/test_vit'",
        ),
    ):
        with pytest.raises(SaevError, match=f"the unfinished store there has {message}"):
            make(**{"backbone": tiny_vit, "path": tmp_path, "images": images, **options})
    assert digest(partial) == before


def test_zeros_are_written_and_count_as_written(tiny_vit, tmp_path):
    class Black(Mosaic):
        def __getitem__(self, i):
            return super().__getitem__(i)._replace(label=0)

    store = make(tiny_vit, tmp_path, Black(split="val", n=9, size=64))
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
        make(tiny_vit, tmp_path, Mosaic(split="val", n=4, size=64), layers=[1, 2])
    assert not (tmp_path / "store").exists()


def test_images_without_labels_are_recorded(tiny_vit, tmp_path):
    images = Odd(lambda sample: Sample(sample.image, IGNORE), classes=())
    store = make(tiny_vit, tmp_path, images)
    assert store.classes == () and (store.tokens(1).labels() == IGNORE).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (Odd(n=0), "^data: there are no images to record"),
        (Odd(classes=("one",)), r"^image 0 \(mosaic/val/0\): label \d+, but the data have 1 classes$"),
        (Odd(classes=tuple(map(str, range(70_000)))), "^data: 70000 classes, at most 65535 fit the labels$"),
    ],
)
def test_data_that_no_store_can_hold(tiny_vit, tmp_path, images, message):
    with pytest.raises(SaevError, match=message):
        make(tiny_vit, tmp_path, images)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": []}, "^layers must name at least one block"),
        ({"layers": [3]}, r"^layer must be an integer in \[-3, 2\]"),
        ({"tokens": []}, "^extract.tokens must name at least one of"),
        ({"tokens": ["register"]}, r"tiny has no 'register' tokens; it has \['cls', 'patch', 'meanpool'\]$"),
        ({"tokens": ["CLS"]}, "^extract.tokens must be a list, each one of cls, register, patch, meanpool"),
        ({"tokens": "cls"}, "^extract.tokens must be a list"),
        ({"dtype": "bfloat16"}, "^extract.dtype must be one of float16, float32, got 'bfloat16'$"),
        ({"chunk": 0}, "^extract.chunk must be an integer in \\[1, 1000000000\\], got 0$"),
    ],
)
def test_options_that_cannot_be(tiny_vit, tmp_path, options, message):
    with pytest.raises(SaevError, match=message):
        make(tiny_vit, tmp_path, Mosaic(split="val", n=4, size=64), **options)


def test_a_chunk_is_never_more_than_the_data(tiny_vit, tmp_path):
    store = make(tiny_vit, tmp_path, Mosaic(split="val", n=5, size=64), chunk=10**8)
    assert store.chunk == 5 and store.acts(1).chunks == (5, 17, 24)


def test_a_chunk_that_no_memory_holds_is_refused(tiny_vit, tmp_path):
    images = Odd(n=10**7)
    with pytest.raises(SaevError, match=r"^extract.chunk must be at most 2631720, got 10000000: .* 8\.2 GB"):
        make(tiny_vit, tmp_path, images, chunk=10**8)


def test_all_images_missing_is_an_error(registers, tmp_path):
    images = Damaged(range(20), split="train", n=20, size=84)
    with pytest.raises(SaevError, match="^mosaic/train/0: cannot be decoded, and no other of the 20 images"):
        make(registers, tmp_path, images, corrupt="missing")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_fatal_by_default(registers, tmp_path, workers):
    with pytest.raises(SaevError, match=r"^mosaic/train/3: cannot be decoded as an image \(on purpose\)$"):
        record(
            registers,
            Damaged(MISSING, split="train", n=20, size=84),
            tmp_path / "out",
            working=tmp_path / "w",
            options=Recording(layers=(0,)),
            machine=replace(CPU, workers=workers),
        )
    assert not (tmp_path / "out").exists()


def test_patches_have_the_concepts_and_the_cluster_of_their_region(tiny_vit, tmp_path):
    """Against a count of the pixels that each patch of 16 px sees, which no other part of the code did."""
    images = Damaged((2,), split="val", n=5, size=64)
    store = make(tiny_vit, tmp_path, images, corrupt="missing")
    assert store.attrs["concepts"] == list(Mosaic.concepts) and store.attrs["described"] == "patches"
    concepts, cluster = store.concepts(), store.cluster()
    assert (concepts[2] == UNKNOWN).all() and (cluster[2] == NO_CLUSTER).all()
    for i in (0, 1, 3, 4):
        regions = images[i].regions
        seen = store.preprocess.crop_labels(regions.of_pixel)
        for p in range(16):
            row, column = divmod(p, 4)
            patch = seen[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            inside, n = np.unique(patch, return_counts=True)
            if n.max() >= 0.9 * 256:
                region = inside[n.argmax()]
                np.testing.assert_array_equal(concepts[i, p], regions.concepts_rc[region])
                assert cluster[i, p] == regions.cluster_r[region]
            else:
                assert (concepts[i, p] == UNKNOWN).all() and cluster[i, p] == NO_CLUSTER


def test_a_cluster_without_a_name_is_one_line(tiny_vit, tmp_path):
    class Nameless(Mosaic):
        clusters = ("one",)

    with pytest.raises(SaevError, match=r"image 0 .*: label \d+, but the data have 1 clusters"):
        make(tiny_vit, tmp_path, Nameless(split="val", n=3, size=64))
