"""The stage atlas, of a whole tiny study."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.atlas.reading import read, unpacked
from tests.pipeline.study import CELL, STAGES, STORE, digest, finish, here


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    cwd = finish(tmp_path_factory.mktemp("study"))
    (cwd / "notes").mkdir()
    (cwd / f"notes/{CELL}.yaml").write_text("5: like a fence\n")
    here(cwd, "atlas", *STAGES["atlas"])
    return cwd


def test_every_latent_is_there_with_what_the_stages_found(whole):
    from safetensors.numpy import load_file

    from saev.features.profiles import Profile

    out, codes = whole / "atlas", load_file(whole / f"data/codes/{CELL}/latents.safetensors")
    (cell,), columns = read(out, "index")["cells"], read(out, f"d/{CELL}/columns")
    profile = Profile(**codes)
    assert cell["latents"] == len(profile.maximum_s) and cell["name"] == CELL and cell["grid"] == [4, 4]
    assert np.array_equal(unpacked(columns["frequency"]), profile.density_s)
    first = read(out, f"d/{CELL}/0")
    assert np.array_equal(unpacked(first["strongest"]["image"]).reshape(-1, 3), profile.strongest_sk[:, :3])
    assert np.allclose(unpacked(first["strongest"]["peak"]).reshape(-1, 3)[:, 0], profile.maximum_s)
    assert first["told"]["5"]["note"] == "like a fence" and cell["notes"] == {"5": "like a fence"}
    assert cell["seeds"] == ["seed-1"] and len(unpacked(first["twin"])) == cell["latents"]
    causes = [row for told in first["told"].values() for row in told.get("causes", [])]
    assert all(np.shape(row["effect"]) == (4, 4) for row in causes)


def test_the_images_are_those_that_the_model_saw(whole):
    from saev.activations import Store
    from saev.data import Mosaic

    album = read(whole / "atlas", "index")["albums"][0]
    ids, scenes = unpacked(album["ids"]), Mosaic(split="train", n=48, size=64)
    crop = Store(whole / f"data/acts/{STORE}/train").preprocess.crop
    sheet = np.asarray(Image.open(whole / "atlas/s/0/0.webp").convert("RGB")).astype(int)
    for place, i in enumerate(ids[:3]):
        there = sheet[:64, 64 * place : 64 * (place + 1)]
        assert np.abs(there - crop(scenes[int(i)].image)).mean() < 12  # lossy
        assert np.abs(there - crop(scenes[int(i) + 1].image)).mean() > 20


def test_run_again_it_has_the_same_bytes(whole):
    before = digest(whole, "atlas")
    here(whole, "atlas", *STAGES["atlas"])
    assert digest(whole, "atlas") == before


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("notes", "must be {number of a latent below 96: words}, got 96: 'x'"),
        ("codes", "damaged"),
        ("outcome", "not there; run the intervene stage"),
        ("foreign", "not of this program"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_the_old_atlas_stays(whole, tmp_path, damage, says):
    cwd = tmp_path / "study"
    shutil.copytree(whole, cwd)
    if damage == "notes":
        (cwd / f"notes/{CELL}.yaml").write_text("96: x\n")
    elif damage == "codes":
        file = cwd / f"data/codes/{CELL}/train.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "outcome":
        (cwd / f"results/intervene/{CELL}/outcome.json").unlink()
    else:
        (cwd / "atlas/thesis.doc").write_text("mine")
    before = digest(cwd, "atlas")
    with pytest.raises(SystemExit) as stopped:
        here(cwd, "atlas", *STAGES["atlas"])
    assert says in str(stopped.value) and "\n" not in str(stopped.value)
    assert digest(cwd, "atlas") == before
