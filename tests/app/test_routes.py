"""The laboratory over HTTP: what its page asks for, and what nobody should."""

import numpy as np
import pytest
import yaml

from saev.app.answers import pack, unpack
from saev.app.looking import alike, card
from tests.app.examples import CELL, HOME, PORT, served
from tests.app.test_changing import liveliest
from tests.app.test_uploads import bomb, png

LOOK = {"cell": CELL, "image": "0"}


def edit(latent=0, **changes):
    return {**LOOK, "edit": {"latents": [latent], "strengths": [2], "place": "all", **changes}}


def error(response):
    told = response.json()["error"]
    assert "\n" not in told and "Traceback" not in told
    return told


def test_arrays_come_back_as_they_were_packed():
    arrays = {"a": np.arange(5, dtype=np.uint8), "b": np.ones((2, 3), np.float16), "c": np.zeros((0, 4))}
    facts, back = unpack(pack({"x": [1, "ü"]}, arrays))
    assert facts == {"x": [1, "ü"]}
    assert all(np.array_equal(back[name], of) and back[name].dtype == of.dtype for name, of in arrays.items())


def test_the_page_and_its_files_are_served_with_no_way_to_others(client):
    page = client.get("/")
    assert page.status_code == 200 and "<!doctype html>" in page.text.lower()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("../server.py", "..%2fserver.py", "%2e%2e/%2e%2e/pyproject.toml", "__init__.py", "no.js"):
        assert client.get(f"/site/{name}").status_code == 404


def test_a_cell_an_image_and_its_features_are_told(client, bench):
    assert client.get("/api/study").json()["cells"] == [CELL]
    cell = client.get("/api/cell", params={"cell": CELL}).json()
    first = bench.evidence[0]
    assert cell["chosen"][str(first["latent"])][0]["name"] == first["name"]
    assert cell["grid"] == [4, 4] and cell["classes"] == list(bench.task.classes) and cell["scenes"]
    facts, arrays = unpack(client.get("/api/look", params=LOOK).content)
    before = bench.subject("0").before_uc
    assert np.array_equal(arrays["labels"][0], before.argmax(-1).numpy())
    assert arrays["probabilities"][0].sum() == pytest.approx(1, abs=0.01)
    assert len(facts["regions"]) == len(bench.images.scene(0).regions)
    rows = client.get("/api/features", params={**LOOK, "patches": "0-2,5"}).json()
    codes = bench.val.csr.toarray()[[0, 1, 2, 5]].mean(0)
    assert [row["latent"] for row in rows] == np.argsort(-codes, kind="stable")[: len(rows)].tolist()
    assert rows[0]["code"] == pytest.approx(codes.max(), rel=1e-6)


def test_features_are_found_by_a_word(client, bench):
    name = bench.evidence[0]["name"]
    rows = client.get("/api/features", params={"cell": CELL, "words": name[:3].upper()}).json()
    assert rows[0]["latent"] == bench.evidence[0]["latent"] and rows[0]["claims"][0]["name"] == name
    assert client.get("/api/features", params={"cell": CELL, "words": "zebra"}).json() == []


def test_a_card_shows_a_feature_here_and_where_it_is_strongest(client, bench):
    latent = liveliest(bench, 1)[0]
    facts, arrays = unpack(client.get("/api/feature", params={**LOOK, "latent": latent}).content)
    maps = bench.val.maps(latent)
    assert np.allclose(arrays["heat"], maps[0], rtol=1e-3)
    assert facts["exemplars"][0] == maps.max(1).argmax() and np.allclose(
        arrays["maps"][0].max(), maps.max(), rtol=1e-3
    )
    assert facts["exemplars"] == card(bench, bench.subject("0"), latent).exemplars


def test_what_looks_like_a_patch_is_found_by_the_cosine_of_its_codes(client, bench):
    facts, arrays = unpack(client.get("/api/alike", params={**LOOK, "patches": "3"}).content)
    f_us = bench.val.csr.toarray()
    cosine = f_us @ f_us[3] / np.maximum(np.linalg.norm(f_us, axis=1) * np.linalg.norm(f_us[3]), 1e-12)
    best = cosine.reshape(12, 16).max(1)
    assert 0 not in facts["exemplars"] and facts["exemplars"][0] == best[1:].argmax() + 1
    assert arrays["heat"][3] == pytest.approx(1, abs=1e-2)
    assert alike(bench, bench.subject("0"), (3,)).exemplars == facts["exemplars"]


def test_an_edit_never_comes_without_its_control(client, bench):
    facts, arrays = unpack(client.post("/api/edit", json=edit()).content)
    assert [row["arm"] for row in facts["effects"]] == ["edit", "random latent", "random direction"]
    assert arrays["labels"].shape == (3, 16) and arrays["labels"].dtype == np.uint8
    assert arrays["probabilities"].dtype == np.float16
    refused = client.post("/api/edit", json=edit(controls=[]))
    assert refused.status_code == 400 and "edit.controls" in error(refused)


def test_a_task_on_images_is_told_in_probabilities(bench_of_images, tmp_path):
    with served({CELL: bench_of_images}, tmp_path) as client:
        facts, arrays = unpack(client.post("/api/edit", json=edit(target=0)).content)
    assert arrays["labels"].shape == (3, 1) and facts["effects"][0]["edited"][1] == 1


def test_a_scene_without_an_attribute_is_shown_beside_the_edit(client, bench):
    region = bench.images.scene(0).regions[0]
    name = next(iter(region.attributes), "text")
    asked = {**LOOK, "region": 0, "attribute": name, "target": 0}
    _, arrays = unpack(client.get("/api/twin", params=asked).content)
    toggled = bench.images.scene(0).toggled(0, name).render().image
    picture = client.get("/api/picture", params={**LOOK, "image": f"0.0.{name}"})
    assert picture.headers["content-type"] == "image/png"
    assert np.array_equal(bench.pixels(f"0.0.{name}"), bench.backbone.preprocess.crop(toggled))
    twin = bench.subject(f"0.0.{name}").before_uc.argmax(-1).numpy()
    assert np.array_equal(arrays["labels"][0], twin)
    assert "region 99" in error(client.get("/api/twin", params={**asked, "region": 99}))


def test_an_upload_is_kept_in_memory_alone(client, tmp_path):
    address = client.post("/api/upload", content=png(300, 200)).json()["image"]
    assert client.get("/api/picture", params={**LOOK, "image": address}).status_code == 200
    facts, _ = unpack(client.get("/api/look", params={**LOOK, "image": address}).content)
    assert facts["name"] == "an upload" and facts["regions"] == []
    assert not list(tmp_path.iterdir())
    assert error(client.post("/api/upload", content=bomb(9999, 9999))).startswith(
        "the upload has 9999 x 9999"
    )
    assert (
        client.post("/api/upload", headers={"content-length": "999999999"}, content=b"x").status_code == 413
    )


def test_notes_and_hypotheses_are_written_where_they_belong_and_nothing_else(client, bench, tmp_path):
    note = {"cell": CELL, "latent": 7, "text": 'blue: "sky"\nor sea'}
    assert client.post("/api/note", json=note).status_code == 200
    found = {"name": "a-claim", "claim": "it does", "concept": bench.task.classes[0], "latents": [7]}
    found |= {"edit": "set", "place": "active", "strength": -2.0}
    asked = {"cell": CELL, "hypothesis": found}
    assert client.post("/api/hypothesis", json=asked).status_code == 200
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert written == ["conf/hypothesis/a-claim.yaml", f"notes/{CELL}.yaml"]
    assert yaml.safe_load((tmp_path / written[1]).read_text()) == {7: note["text"]}
    record = yaml.safe_load((tmp_path / written[0]).read_text())
    assert record["latents"] == [7] and record["kind"] == "exploratory" and record["strength"] == -2
    assert record["cell"] == CELL and record["task"] == "classes" and "name" not in record
    assert "choose another" in error(client.post("/api/hypothesis", json=asked))
    for change in (
        {"name": "../../etc/x"},
        {"name": "A b"},
        {"place": "selected"},
        {"concept": "no"},
        {"more": 1},
    ):
        refused = client.post("/api/hypothesis", json={**asked, "hypothesis": {**found, **change}})
        assert refused.status_code == 400 and error(refused)
    assert len(list((tmp_path / "conf" / "hypothesis").iterdir())) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": f"evil.example:{PORT}"},
        {"host": "127.0.0.1:1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"host": f"localhost:{PORT}", "origin": HOME},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_pages_of_others_are_refused(client, headers, tmp_path):
    for response in (
        client.get("/api/study", headers=headers),
        client.post("/api/note", headers=headers, json={"cell": CELL, "latent": 1, "text": "x"}),
    ):
        assert response.status_code == 403 and error(response)
    assert not list(tmp_path.iterdir())


def test_writing_needs_an_origin_and_other_methods_are_refused(client):
    del client.headers["origin"]
    assert client.get("/api/study").status_code == 200
    assert client.post("/api/edit", json=edit()).status_code == 403
    assert client.put("/api/edit").status_code == client.request("OPTIONS", "/api/edit").status_code == 405
