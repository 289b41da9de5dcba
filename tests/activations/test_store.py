"""Opening a store, and that no reader misses damage."""

import json
import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch
import zarr

from saev.activations import ActivationStream, Store, inspect_store
from saev.data import Mosaic
from saev.errors import SaevError
from tests.activations.examples import make


@pytest.fixture
def copy(stores, tmp_path):
    """The directory of a complete store that a test may damage."""
    shutil.copytree(stores["train"].path, tmp_path / "s")
    return tmp_path / "s"


def set_attributes(path, **changes):
    description = json.loads((path / "zarr.json").read_text())
    description["attributes"] |= changes
    (path / "zarr.json").write_text(json.dumps(description))


def test_a_layer_beyond_the_model_is_not_another(stores):
    for layer in (4, 5, -4, "2", None, [2], True):
        with pytest.raises(SaevError, match=r"is not recorded; it holds \[1, 2\], counted from 0 to 2"):
            stores["train"].layer(layer)
    assert stores["train"].layer(-1) == 2


def test_refuses_what_is_not_a_complete_store_of_this_schema(copy, tmp_path):
    with pytest.raises(SaevError, match="no activation store there"):
        Store(tmp_path)
    set_attributes(copy, schema=99)
    with pytest.raises(SaevError, match="schema is 99, this version reads 3"):
        Store(copy)
    set_attributes(copy, schema=3, complete=None)
    with pytest.raises(SaevError, match="incomplete .*; run the extract stage to finish it"):
        Store(copy)
    (copy / "zarr.json").write_text("{")
    with pytest.raises(SaevError, match=r"^[^\n]*: not an activation store \([^\n]+\)$"):
        Store(copy)


def test_the_residual_needs_every_token_of_the_model(registers, tmp_path):
    store = make(registers, tmp_path, Mosaic(split="train", n=2, size=84), tokens=["patch"])
    with pytest.raises(SaevError, match=r"cannot continue from it without the \['cls', 'register'\] tokens"):
        store.residual(1, np.array([0]))


def test_stores_of_one_model_are_told_from_others(stores, tiny_vit, copy, tmp_path):
    stores["train"].check_same_model(stores["val"])
    other = deepcopy(tiny_vit)
    other._hash = None
    with torch.no_grad():
        other.blocks[2].mlp.fc2.bias += 1
    twin = make(other, tmp_path / "twin", Mosaic(split="val", n=2, size=64), layers=[1, 2])
    with pytest.raises(
        SaevError, match="twin/store: weights '[0-9a-f]{16}', but .* has weights '[0-9a-f]{16}';"
    ):
        stores["train"].check_same_model(twin)
    set_attributes(copy, classes=[*Mosaic.classes[1:], Mosaic.classes[0]])
    with pytest.raises(SaevError, match="s: classes is .*, but .* has "):
        stores["train"].check_same_model(Store(copy))


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


def test_a_flipped_byte_is_noticed_by_every_reader(copy):
    file = copy / "acts/2/c/1/0/0"
    content = bytearray(file.read_bytes())
    content[77] ^= 1
    file.write_bytes(content)
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


@pytest.mark.parametrize("lost", ["norms/2", "acts/2", "labels/present", "labels/patch", "stats"])
def test_no_array_is_missed(copy, lost):
    shutil.rmtree(copy / lost)
    with pytest.raises(
        SaevError, match=rf"{lost}[^\n]*: damaged: this array is missing; record the store again"
    ):
        store = Store(copy)
        tokens = store.tokens(2)
        store.norms(2), tokens.labels(), next(tokens.chunks()), tokens.normalisation()


def test_the_stores_of_other_programs_are_read(copy):
    """Written by plain zarr with sharding or compression, the bytes are not where this library looks."""
    group = zarr.open_group(str(copy), mode="r+")
    acts = group["acts/2"][:]
    group.create_array("acts/2", data=acts, chunks=(8, 17, 24), overwrite=True)  # zstd, zarr's default
    with pytest.raises(SaevError, match="acts/2/c/0/0/0: damaged: .* bytes, expected"):
        list(Store(copy).tokens(2).chunks())
