"""What is written of latents, read back."""

import json

import numpy as np
import pytest

from benchmarks.invented import names, profile, write_invented
from saev.atlas import told_of, twins
from saev.atlas.latents import CHUNK, MERGED, NOBODY
from saev.features.profiles import KEPT
from tests.atlas.reading import read, unpacked

LATENTS = 300


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    write_invented(folder)
    return folder


def test_columns_hold_every_latent_as_its_profile_has_it(out):
    columns, of = read(out, "d/first/columns"), profile(LATENTS, 60, 0)
    assert np.array_equal(unpacked(columns["frequency"]), of.density_s)
    assert np.array_equal(unpacked(columns["maximum"]), of.maximum_s)
    assert np.array_equal(unpacked(columns["top"]).reshape(LATENTS, 3), of.strongest_sk[:, :3])


def test_a_claim_of_the_probe_names_a_latent_before_anything_else(out):
    columns, cell = read(out, "d/first/columns"), read(out, "index")["cells"][0]
    f1, q, probed, concept = (unpacked(columns[key]) for key in ("f1", "chance", "probed", "concept"))
    assert (f1[3], q[3], probed[3]) == (np.float32(0.61), np.float32(0.004), 1)
    assert cell["concepts"][concept[3]] == {"kind": "classes", "name": "stripes"}
    of = names(LATENTS, ("stripes", "text", "dots"), 0)
    assert f1[5] == np.float32(of.f1_s[5]) and not probed[5]  # what was chosen for it is not above chance
    assert (concept != NOBODY).all()


def test_details_of_a_latent_lie_in_its_chunk(out):
    s, of = CHUNK + 2, profile(LATENTS, 60, 0)
    chunk = read(out, "d/first/1")
    i = s - chunk["first"]
    assert np.array_equal(unpacked(chunk["near"]).reshape(-1, 8)[i], of.near_sk[s])
    image, size = (unpacked(chunk["spread"][key]) for key in ("image", "size"))
    assert (
        np.array_equal(image.reshape(-1, KEPT)[i], of.spread_sk[s]) and (size.reshape(-1, KEPT)[i] > 0).all()
    )
    assert len(unpacked(chunk["spread"]["token"])) == size.sum() == len(unpacked(chunk["spread"]["level"]))
    assert len(list((out / "d/first").glob("[0-9]*.js"))) == -(-LATENTS // CHUNK)


def test_histograms_lose_no_code(out):
    of = profile(LATENTS, 60, 0)
    for number in range(3):
        chunk = read(out, f"d/first/{number}")
        first, size, count = (unpacked(chunk["histogram"][key]) for key in ("first", "size", "count"))
        start = np.concatenate([[0], size.astype(int).cumsum()])
        for i, s in enumerate(range(chunk["first"], min(LATENTS, chunk["first"] + CHUNK))):
            bins = np.zeros(-(-of.histogram_sh.shape[1] // MERGED), int)
            bins[first[i] : first[i] + size[i]] = count[start[i] : start[i + 1]]
            assert bins.tolist() == of.histogram_sh[s].reshape(-1, MERGED).sum(1).tolist()


def test_twins_are_the_largest_cosines():
    rng = np.random.default_rng(0)
    rows, other = rng.standard_normal((600, 8)), rng.standard_normal((40, 8))
    latent, cosine = twins(rows, [other, other[::-1]])
    for s in range(0, 600, 77):
        all_of_them = other @ rows[s] / np.linalg.norm(rows[s]) / np.linalg.norm(other, axis=1)
        assert latent[s].tolist() == [all_of_them.argmax(), 39 - all_of_them.argmax()]
        assert np.allclose(cosine[s], all_of_them.max(), atol=1e-6)
    assert twins(rows, [])[1].shape == (600, 0)


def test_what_records_say_is_told_of_the_latents_that_they_are_of():
    rows = [
        {"name": "cat", "latent": 4, "f1": 0.5, "q": 0.2},
        {"name": "dog", "latent": 4, "f1": 0.6, "q": None},
    ]
    edits = [
        {"class": "cat", "target": 0.5},
        {"class": "cat", "target": None},
        {"class": "bird", "target": 1.0},
    ]
    told = told_of(
        {"classes": rows}, edits, [{"latent": 9, "image": 1, "fires": ["0 1", "2 3"]}], [], {2: "seen"}
    )
    assert set(told) == {2, 4, 9} and told[2] == {"note": "seen"}
    assert [row["claimed"] for row in told[4]["concepts"]] == [False, False]
    assert [row["target"] for row in told[4]["edits"]["cat"]] == [0.5]
    assert told[9]["causes"][0]["fires"] == [[0, 1], [2, 3]] and told[9]["causes"][0]["effect"] is None


def test_an_atlas_has_the_same_bytes_each_time_and_no_file_that_is_not_its_own(tmp_path):
    from saev.atlas import FILES
    from saev.outputs import check_own

    for name in "ab":
        write_invented(tmp_path / name, latents=40, images=20)
    files = [sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in "ab"]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    check_own(tmp_path / "a", FILES)


def test_hostile_names_stay_text(tmp_path):
    name = "</script><img src=x onerror=alert(1)>'\""
    write_invented(tmp_path, latents=10, images=10, concept=name)
    assert "</script" not in (tmp_path / "index.js").read_text().lower()
    assert read(tmp_path, "index")["cells"][0]["concepts"][0]["name"] == name
    assert json.dumps(name)[1:-1] not in (tmp_path / "d/first/0.js").read_text()
