"""Token kinds, missing images, damage, order and random access."""

import shutil

import numpy as np
import pytest
import torch
import zarr

from saev.activations import ActivationStream, Recording, Store, inspect, record
from saev.backbones import timm_vit
from saev.data import IGNORE, CorruptImage, Mosaic
from saev.errors import SaevError
from saev.evaluation import evaluate
from saev.features import encode_store, load_split
from saev.sae import SAE, TopK

MISSING = (3, 8, 15)


class Damaged(Mosaic):
    """Scenes of which some cannot be decoded."""

    missing = MISSING

    def __getitem__(self, i):
        if i in self.missing:
            raise CorruptImage(f"{self.name(i)}: cannot be decoded as an image (on purpose)")
        return super().__getitem__(i)


@pytest.fixture(scope="module")
def registers():
    """2 blocks with 4 register tokens, 4 x 6 patches of 14 px."""
    import timm

    from saev.backbones.from_timm import TimmVit

    torch.manual_seed(0)
    model = timm.create_model(
        "vit_small_patch14_reg4_dinov2",
        pretrained=False,
        img_size=(56, 84),
        depth=2,
        embed_dim=24,
        num_heads=3,
    )
    return TimmVit(model, name="registers")


def make(backbone, path, images=None, *, layers=(1,), **options):
    images = images or Mosaic(split="train", n=20, size=84)
    recording = Recording(**{"chunk": 8, "batch_size": 4, **options})
    return record(
        backbone,
        images,
        path / "store",
        layers=layers,
        working=path / "w",
        options=recording,
        workers=0,
        precision="fp32",
    )


@pytest.fixture(scope="module")
def damaged(registers, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged")
    return make(registers, path, Damaged(split="train", n=20, size=84), corrupt="missing")


def test_token_kinds_are_those_of_the_model(registers, tmp_path):
    images = Mosaic(split="train", n=20, size=84)
    whole = make(registers, tmp_path / "whole")
    assert whole.tokens == {"cls": (0, 1), "register": (1, 5), "patch": (5, 29)} and whole.grid == (4, 6)
    some = make(registers, tmp_path / "some", tokens=["meanpool", "cls"], dtype="float32")
    assert some.tokens == {"cls": (0, 1), "meanpool": (1, 2)} and some.n_patches == 0
    pixels = torch.from_numpy(np.stack([registers.preprocess.crop(images[i].image) for i in range(4)]))
    with torch.inference_mode():
        (expected,) = registers.prefix(registers.preprocess.normalise(pixels), [1])
    np.testing.assert_array_equal(whole.acts(1)[:4], expected.half())
    np.testing.assert_array_equal(some.acts(1)[:4, 0], expected[:, 0])
    torch.testing.assert_close(torch.from_numpy(some.acts(1)[:4, 1]), expected[:, 5:].mean(1))
    np.testing.assert_allclose(
        whole.norms(1), np.linalg.norm(whole.acts(1)[:].astype(np.float64), axis=-1), rtol=1e-6
    )

    for kinds in (["cls"], ["cls", "patch"]):
        x = whole.acts(1)[:][:, whole.positions(kinds)].reshape(-1, 24).astype(np.float64)
        mean, scale = whole.normalisation(1, kinds)
        np.testing.assert_allclose(mean, x.mean(0), rtol=1e-9)
        assert scale == pytest.approx(np.linalg.norm(x - x.mean(0), axis=1).mean() / 24**0.5, rel=1e-6)
    assert whole.attrs["stats"]["1"]["register"]["median_norm"] == pytest.approx(
        np.median(whole.norms(1)[:, 1:5])
    )


def test_tokens_that_are_not_there_are_named(registers, tiny_vit, tmp_path):
    with pytest.raises(
        SaevError, match=r"tiny has no 'register' tokens; it has \['cls', 'patch', 'meanpool'\]"
    ):
        make(tiny_vit, tmp_path, Mosaic(split="train", n=4, size=64), tokens=["register"])
    with pytest.raises(SaevError, match="tokens must be one of cls, register, patch, meanpool, got 'CLS'"):
        Recording(tokens=["CLS"])
    store = make(registers, tmp_path / "patches", tokens=["patch"])
    with pytest.raises(SaevError, match=r"tokens must name some of \['patch'\], got \['cls'\]"):
        ActivationStream(store, 1, batch_size=4, tokens=["cls"])
    with pytest.raises(SaevError, match=r"cannot continue from it without the \['cls', 'register'\] tokens"):
        store.residual(1, np.array([0]))


def test_missing_images_are_named_counted_and_never_shift_the_others(damaged, registers, tmp_path):
    whole = make(registers, tmp_path)
    assert damaged.attrs["missing"] == [f"mosaic/train/{i}" for i in MISSING]
    there = np.setdiff1d(np.arange(20), MISSING)
    np.testing.assert_array_equal(np.flatnonzero(damaged.present), there)
    np.testing.assert_array_equal(damaged.acts(1)[:][there], whole.acts(1)[:][there])
    np.testing.assert_array_equal(damaged.patch_labels()[there], whole.patch_labels()[there])
    for i in MISSING:  # loud, should anyone average over them
        assert np.isnan(damaged.acts(1)[i]).all() and np.isnan(damaged.norms(1)[i]).all()
        assert (damaged.patch_labels()[i] == IGNORE).all() and damaged.image_labels()[i] == IGNORE
    mean, _ = damaged.normalisation(1)
    np.testing.assert_allclose(
        mean, whole.patches(1, 0, 20)[there].reshape(-1, 24).astype(np.float64).mean(0), rtol=1e-9
    )
    assert damaged.attrs["weights"] == whole.attrs["weights"] and inspect(damaged.path).whole


def test_missing_images_reach_no_reader(damaged):
    numbers, acts = map(np.concatenate, zip(*damaged.ordered(1), strict=True))
    np.testing.assert_array_equal(numbers, np.setdiff1d(np.arange(20), MISSING))
    np.testing.assert_array_equal(acts, damaged.patches(1, 0, 20)[numbers])
    stream = ActivationStream(
        damaged, 1, batch_size=17 * 24, window=6
    )  # the first half window holds all the images
    np.testing.assert_array_equal(
        np.sort(next(iter(stream)).numpy(), axis=0), np.sort(acts.reshape(-1, 24), axis=0)
    )


def test_an_sae_is_measured_and_encoded_without_them(damaged, tmp_path):
    mean, scale = damaged.normalisation(1)
    sae = SAE(TopK(d_sae=48, k=4), torch.from_numpy(mean), scale)
    ((metrics, _),) = evaluate([sae], damaged, 1)
    assert metrics["n_tokens"] == 17 * 24 and np.isfinite(metrics["nmse"])
    encode_store(sae, damaged, 1, tmp_path / "codes.safetensors")
    split = load_split(tmp_path / "codes.safetensors", damaged)
    per_image = np.diff(split.codes.indptr).reshape(20, 24).sum(1)
    np.testing.assert_array_equal(np.flatnonzero(per_image == 0), MISSING)
    expected = sae.encode(torch.from_numpy(damaged.patches(1, 4, 5)[0]).float())
    np.testing.assert_allclose(split.codes[4 * 24 : 5 * 24].toarray(), expected.numpy(), rtol=1e-3)


def test_all_images_missing_is_an_error(registers, tmp_path, monkeypatch):
    monkeypatch.setattr(Damaged, "missing", range(20))
    with pytest.raises(SaevError, match="mosaic/train/0: cannot be decoded, and no other of the 20"):
        make(registers, tmp_path, Damaged(split="train", n=20, size=84), corrupt="missing")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_fatal_by_default(registers, tmp_path, workers):
    with pytest.raises(SaevError, match=r"^mosaic/train/3: cannot be decoded as an image \(on purpose\)$"):
        record(
            registers,
            Damaged(split="train", n=20, size=84),
            tmp_path / "out",
            layers=[0],
            working=tmp_path / "w",
            workers=workers,
        )
    assert not (tmp_path / "out").exists()


def test_random_access_by_image_and_token(stores):
    rng = np.random.default_rng(0)
    images, tokens = rng.integers(0, 40, 50), rng.integers(0, 17, 50)
    np.testing.assert_array_equal(
        stores["train"].vectors(2, images, tokens), stores["train"].acts(2)[:][images, tokens]
    )
    grid = stores["train"].vectors(2, images[:4, None], np.arange(17))
    np.testing.assert_array_equal(grid, stores["train"].acts(2)[:][images[:4]])
    for bad in ((40, 0), (-1, 0), (0, 17)):
        with pytest.raises(IndexError, match="40 images of 17 tokens"):
            stores["train"].vectors(2, [bad[0]], [bad[1]])


def test_ordered_stops_where_asked(stores):
    numbers, acts = map(np.concatenate, zip(*stores["train"].ordered(2, ("cls",), n_images=11), strict=True))
    np.testing.assert_array_equal(numbers, np.arange(11))
    np.testing.assert_array_equal(acts[:, 0], stores["train"].acts(2)[:11, 0])


def test_a_flipped_byte_is_noticed_by_every_reader(stores, tmp_path):
    shutil.copytree(stores["train"].path, tmp_path / "s")
    file = tmp_path / "s/acts/2/c/1/0/0"
    content = bytearray(file.read_bytes())
    content[77] ^= 1
    file.write_bytes(content)
    store = Store(tmp_path / "s")
    for use in (
        lambda: store.patches(2, 8, 16),
        lambda: list(store.ordered(2)),
        lambda: store.vectors(2, [9], [0]),
        lambda: next(iter(ActivationStream(store, 2, batch_size=64, window=20))),
    ):
        with pytest.raises(SaevError, match=r"acts/2/c/1/0/0: damaged: its bytes are not"):
            use()
    found = inspect(tmp_path / "s")
    assert not found.whole and found.integrity["acts/2"].damaged == [1]
    assert [name for name, part in found.integrity.items() if part.damaged] == ["acts/2"]


@pytest.mark.parametrize(
    ("lost", "use"),
    [
        ("labels/patch/c/0/0", lambda store: store.patch_labels()),
        ("labels/image/c/0", lambda store: store.image_labels()),
        ("labels/present/c/0", lambda store: list(store.ordered(2))),
        ("norms/2/c/0/0", lambda store: ActivationStream(store, 2, batch_size=64, max_norm=2.0)),
        ("stats/2/patch/mean/c/0", lambda store: store.normalisation(2)),
    ],
)
def test_no_chunk_is_missed_silently(stores, tmp_path, lost, use):
    """zarr reads one that is not there as zeros."""
    shutil.copytree(stores["train"].path, tmp_path / "s")
    content = bytearray((tmp_path / "s" / lost).read_bytes())
    content[0] ^= 1
    for damage in (lambda file: file.write_bytes(content), lambda file: file.unlink()):
        damage(tmp_path / "s" / lost)
        with pytest.raises(SaevError, match=f"{lost.partition('/c/')[0]}: damaged"):
            use(Store(tmp_path / "s"))


@pytest.mark.parametrize("lost", ["norms/1", "acts/1", "stats", "labels/present"])
def test_inspect_misses_whole_arrays(stores, tmp_path, lost):
    shutil.copytree(stores["train"].path, tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / lost)
    found = inspect(tmp_path / "s")
    assert not found.whole and {name for name, part in found.integrity.items() if part.missing} == {
        name for name in found.integrity if name.startswith(lost)
    }


def test_a_layer_beyond_the_model_is_not_another(stores):
    for layer in (4, 5, -4, "2", None):
        with pytest.raises(SaevError, match="is not recorded; it holds"):
            stores["train"].layer(layer)
    assert stores["train"].layer(-1) == 2


def test_inspect_tells_what_is_missing(stores, tmp_path):
    assert inspect(stores["train"].path).whole
    shutil.copytree(stores["train"].path, tmp_path / "s")
    (tmp_path / "s/acts/1/c/4/0/0").unlink()
    group = zarr.open_group(str(tmp_path / "s"), mode="r+")
    del group.attrs["complete"]
    found = inspect(tmp_path / "s")  # a store that Store refuses
    assert (
        not found.whole
        and found.integrity["acts/1"].missing == [4]
        and found.integrity["acts/1"].expected == 5
    )
    with pytest.raises(SaevError, match="no activation store"):
        inspect(tmp_path)


def test_outlier_table_against_numpy(stores, tiny_vit, tmp_path, monkeypatch):
    """Planted: one dimension 50 times the others, and artefact tokens of 10 times the norm."""
    prefix = type(tiny_vit).prefix

    def planted(self, pixels, layers):
        acts = prefix(self, pixels, layers)
        acts[0][..., 7] *= 50
        acts[0][:, 3] *= 1000
        return acts

    monkeypatch.setattr(type(tiny_vit), "prefix", planted)
    store = make(tiny_vit, tmp_path, Mosaic(split="train", n=20, size=64), layers=[2])
    row = inspect(store.path).outliers[2, "patch"]
    x = store.patches(2, 0, 20).reshape(-1, 24).astype(np.float32)
    norms = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(
        row.norms, [np.median(norms), np.quantile(norms, 0.99), norms.max()], rtol=0.02
    )
    assert (
        row.artefacts == pytest.approx((norms > 3 * np.median(norms)).mean(), abs=0.01)
        and row.artefacts > 1 / 16 - 0.01
    )
    rms = np.sqrt((x**2).mean(0))
    assert row.dimensions[0][0] == 7 == rms.argmax()
    assert row.dimensions[0][1] == pytest.approx(rms[7] / np.median(rms), rel=1e-4)
    assert row.massive == sum(
        (np.abs(chunk) > max(100, 1000 * np.median(np.abs(chunk[:256])))).sum()
        for chunk in (x[:128], x[128:256], x[256:])
    )


def test_a_large_store_is_sampled_for_its_statistics(stores, monkeypatch):
    from saev.activations import normalisation as statistics

    group = zarr.open_group(str(stores["train"].path), mode="r")
    monkeypatch.setattr(statistics, "MOST_VECTORS", 3 * 8 * 16)
    mean, _ = statistics.normalisation(group, 2, np.arange(1, 17))
    x = (
        np.concatenate([stores["train"].patches(2, c * 8, c * 8 + 8) for c in (0, 2, 4)])
        .reshape(-1, 24)
        .astype(np.float64)
    )
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-9)


def test_a_damaged_chunk_is_recorded_again_on_resume(tiny_vit, tmp_path):
    images = Mosaic(split="val", n=20, size=64)
    whole = make(tiny_vit, tmp_path / "whole", images)
    partial = tmp_path / "resumed" / "w" / "store"
    shutil.copytree(whole.path, partial)
    group = zarr.open_group(str(partial), mode="r+")
    del group.attrs["complete"]
    chunk = partial / "acts/1/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:1000])  # what a power failure may leave
    resumed = make(tiny_vit, tmp_path / "resumed", images)
    np.testing.assert_array_equal(resumed.acts(1)[:], whole.acts(1)[:])
    assert inspect(resumed.path).whole


def test_an_unfinished_store_of_another_configuration_is_not_continued(tiny_vit, tmp_path):
    images = Mosaic(split="val", n=9, size=64)
    partial = tmp_path / "w" / "store"
    finished = make(tiny_vit, tmp_path, images)
    shutil.copytree(finished.path, partial)
    for options, message in (
        ({"dtype": "float32"}, "dtype 'float16', this run 'float32'"),
        ({"chunk": 4}, "chunk 8, this run 4"),
        ({"layers": [0, 1]}, r"layers \[1\], this run \[0, 1\]"),
        ({"tokens": ["patch"]}, "tokens {'cls'"),
        ({"images": Mosaic(split="val", n=9, size=64, seed=1)}, "data '"),
    ):
        with pytest.raises(SaevError, match=f"the unfinished store there has {message}"):
            make(tiny_vit, tmp_path, **{"images": images, **options})
    with pytest.raises(SaevError, match="has computed 'fp32 on cpu', this run 'bf16 on cpu'"):
        record(
            tiny_vit,
            images,
            tmp_path / "o",
            layers=[1],
            working=tmp_path / "w",
            options=Recording(chunk=8, batch_size=4),
            precision="bf16",
        )
    other = timm_vit(model="test_vit", pretrained=False, img_size=64)
    with pytest.raises(
        SaevError, match="unfinished store there has backbone 'tiny', this run 'timm/test_vit'"
    ):
        make(other, tmp_path, images)
