"""Opening a store, and that no reader misses damage."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.activations import ActivationStream, Store, inspect_store
from saev.data import IGNORE, Mosaic, Sample
from saev.errors import SaevError
from tests.activations.examples import Odd, flip_a_byte, make


@pytest.fixture
def copy(stores, tmp_path):
    """The directory of a complete store that a test may damage."""
    shutil.copytree(stores["train"].path, tmp_path / "s")
    return tmp_path / "s"


def set_attributes(path, **changes):
    description = json.loads((path / "zarr.json").read_text())
    description["attributes"] |= changes
    (path / "zarr.json").write_text(json.dumps(description))


def test_every_attribute_that_is_changed_is_noticed(copy, stores):
    for key, value in stores["train"].attrs.items():
        other = {"complete": value}.get(key, [*value, "more"] if isinstance(value, list) else "another")
        set_attributes(copy, **{key: other})
        if key != "complete":
            for read in (Store, inspect_store):
                with pytest.raises(SaevError, match="damaged|schema is"):
                    read(copy)
        set_attributes(copy, **{key: value})
    assert Store(copy).classes == stores["train"].classes


def test_a_layer_beyond_the_model_is_not_another(stores):
    for layer in (4, 5, -4, "2", None, [2], True):
        with pytest.raises(SaevError, match=r"is not recorded; it holds \[1, 2\], counted from 0 to 2"):
            stores["train"].layer(layer)
    assert stores["train"].layer(-1) == 2


def test_refuses_what_is_not_a_complete_store_of_this_schema(copy, tmp_path):
    with pytest.raises(SaevError, match="no activation store there"):
        Store(tmp_path)
    set_attributes(copy, schema=99)
    with pytest.raises(SaevError, match="schema is 99, this version reads 6"):
        Store(copy)
    set_attributes(copy, schema=6, complete=None)
    with pytest.raises(SaevError, match="incomplete .*; run the extract stage to finish it"):
        Store(copy)
    (copy / "zarr.json").write_text("{")
    with pytest.raises(SaevError, match=r"^[^\n]*: not an activation store \([^\n]+\)$"):
        Store(copy)


def test_the_residual_needs_every_token_of_the_model(registers, tmp_path):
    store = make(registers, tmp_path, Mosaic(split="train", n=2, size=84), tokens=["patch"])
    with pytest.raises(SaevError, match=r"cannot continue from it without the \['cls', 'register'\] tokens"):
        store.residual(1, np.array([0]))


def test_only_the_backbone_that_recorded_it_continues_a_store(stores, tiny_vit):
    stores["val"].check_backbone(tiny_vit)
    twin = deepcopy(tiny_vit)  # of equal shape and name
    twin._hash = None
    with torch.no_grad():
        twin.blocks[2].mlp.fc2.bias += 1
    with pytest.raises(SaevError, match=r"^the backbone: weights '\w{16}', but .*/val has weights '\w{16}';"):
        stores["val"].check_backbone(twin)
    other = deepcopy(tiny_vit)
    other.preprocess = replace(other.preprocess, mean=(0.0, 0.0, 0.0))
    with pytest.raises(SaevError, match="^the backbone: geometry .*, but .*/val has geometry"):
        stores["val"].check_backbone(other)


def test_the_preprocessing_survives_the_disk(stores, tiny_vit):
    assert stores["val"].preprocess == tiny_vit.preprocess


def test_what_the_labels_are_of(stores, damaged, tiny_vit, tmp_path):
    assert stores["train"].labelled == damaged.labelled == "patches"
    for label, expected in ((3, "images"), (IGNORE, None)):
        images = Odd(lambda sample, label=label: Sample(sample.image, label))
        assert make(tiny_vit, tmp_path / str(label), images).labelled == expected


@given(n=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_images_are_drawn_from_those_present(damaged, n, seed):
    drawn = damaged.drawn(n, seed)
    assert len(set(drawn.tolist())) == len(drawn) == min(n, 17) and damaged.present[drawn].all()
    np.testing.assert_array_equal(drawn, damaged.drawn(n, seed))


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "layers": ([], None, [1, 7], ["1"], ["../../x"], 2, [[1]]),
        "spans": (
            {},
            None,
            {"cls": [0, 1], "patch": [1, 21]},
            {"cls": [0, 1], "patch": [2, 17]},
            {"x": [0, 17]},
        ),
        "grid": ([8, 8], None, [4], [-4, -4], "4x4"),
        "chunk": (64, -1, None, 8.5),
        "dtype": ("int16", "float32", None, 16),
        "n_images": (41, 0, None),
        "n_blocks": (None, 2, True),
        "classes": (None, [1, 2], ["one"]),
        "d": (23, None),
        "stats": (None, {}, {"1": {}, "2": {}}),
        "backbone": (None, 3),
        "geometry": (None,),
        "data": (None,),
    }.items(),
)
def test_attributes_that_the_arrays_deny(copy, key, values):
    for value in values:
        set_attributes(copy, **{key: value})
        with pytest.raises(SaevError, match=r"^[^\n]*damaged: [^\n]*; record the store again$"):
            Store(copy).tokens(2).labels()
        if key != "classes":  # `inspect_store` tells damage by checksums, not what labels mean
            with pytest.raises(SaevError, match="damaged"):
                inspect_store(copy)


def test_statistics_that_are_no_numbers(copy, stores):
    stats = json.loads(json.dumps(stores["train"].attrs["stats"]))
    stats["2"]["patch"]["scale"] = float("nan")
    set_attributes(copy, stats=stats)
    with pytest.raises(SaevError, match="damaged: attribute stats is"):
        Store(copy)


def test_arrays_that_the_attributes_deny(copy):
    description = json.loads((copy / "norms/2/zarr.json").read_text())
    description["shape"] = [20, 17]
    (copy / "norms/2/zarr.json").write_text(json.dumps(description))
    with pytest.raises(
        SaevError, match=r"norms/2: damaged: float32 \(20, 17\) .*, but the store's attributes say"
    ):
        Store(copy)
    (copy / "norms/2/zarr.json").write_text("{")
    with pytest.raises(SaevError, match=r"norms/2: damaged: [^\n]*; record the store again$"):
        Store(copy)


def test_an_array_that_is_missing_has_no_statistics(copy):
    shutil.rmtree(copy / "norms/2")
    tokens = Store(copy).tokens(2, ("cls", "patch"))
    with pytest.raises(SaevError, match="norms/2: damaged: this array is missing"):
        tokens.normalisation()


def test_a_flipped_byte_is_noticed_by_every_reader(copy):
    flip_a_byte(copy / "acts/2/c/1/0/0")
    store = Store(copy)
    tokens = store.tokens(2)
    for use in (
        lambda: list(tokens.chunks()),
        lambda: tokens.at(np.array([9]), np.array([0])),
        lambda: store.residual(2, np.array([9])),
        lambda: next(iter(ActivationStream(tokens, batch_size=64, window=20))),
    ):
        with pytest.raises(SaevError, match=r"acts/2/c/1/0/0: damaged: its bytes are not"):
            use()


@pytest.mark.parametrize(
    ("lost", "use"),
    [
        ("acts/2/c/0/0/0", lambda store: list(store.tokens(2).chunks())),
        ("labels/patch/c/0/0", lambda store: store.tokens(2).labels()),
        ("labels/image/c/0", lambda store: store.image_labels()),
        ("labels/present/c/0", lambda store: list(store.tokens(2).chunks())),
        ("norms/2/c/0/0", lambda store: store.norms(2)),
        ("stats/2/patch/mean/c/0", lambda store: store.tokens(2).normalisation()),
    ],
)
def test_no_chunk_is_missed_silently(copy, lost, use):
    """zarr reads one that is not there as zeros."""
    content = bytearray((copy / lost).read_bytes())
    content[0] ^= 1
    for damage in (lambda file: file.write_bytes(content), lambda file: file.unlink()):
        damage(copy / lost)
        with pytest.raises(SaevError, match=f"{lost.partition('/c/')[0]}.*: damaged"):
            use(Store(copy))


@pytest.mark.parametrize(
    ("one", "other", "use"),
    [
        ("acts/2/c/0/0/0", "acts/2/c/3/0/0", lambda store: list(store.tokens(2).chunks())),
        ("acts/2/c/1/0/0", "acts/1/c/1/0/0", lambda store: list(store.tokens(1).chunks())),
        ("labels/patch/c/0/0", "labels/patch/c/2/0", lambda store: store.patch_labels()),
        ("norms/1/c/0/0", "norms/2/c/0/0", lambda store: store.norms(1)),
    ],
)
def test_exchanged_chunks_are_noticed(copy, one, other, use):
    """Each is whole, and its own checksum right."""
    held, swapped = (copy / one).read_bytes(), (copy / other).read_bytes()
    assert held != swapped and len(held) == len(swapped)
    (copy / one).write_bytes(swapped), (copy / other).write_bytes(held)
    with pytest.raises(SaevError, match=r"damaged: it holds the values of another chunk; record the store"):
        use(Store(copy))
    found = inspect_store(copy)
    assert not found.whole and sum(len(part.damaged) for part in found.integrity.values()) == 2


@pytest.mark.parametrize(
    "lost", ["norms/2", "acts/2", "labels/present", "labels/patch", "stats", "checksums/acts"]
)
def test_no_array_is_missed(copy, lost):
    shutil.rmtree(copy / lost)
    with pytest.raises(
        SaevError, match=rf"{lost}[^\n]*: damaged: this array is missing; record the store again"
    ):
        store = Store(copy)
        tokens = store.tokens(2)
        store.norms(2), tokens.labels(), next(tokens.chunks()), tokens.normalisation()


def test_compressed_chunks_are_not_taken_for_raw_ones(copy):
    """What plain zarr writes unless told otherwise."""
    group = zarr.open_group(str(copy), mode="r+")
    acts = group["acts/2"][:]
    group.create_array("acts/2", data=acts, chunks=(8, 17, 24), overwrite=True)
    with pytest.raises(SaevError, match="acts/2/c/0/0/0: damaged: .* bytes, expected"):
        list(Store(copy).tokens(2).chunks())
