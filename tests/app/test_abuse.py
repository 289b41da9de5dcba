"""What nobody means: every parameter wrong in every way gets one line, and the next request its answer."""

import json
import threading
import time

import pytest

from saev.app.answers import unpack
from saev.app.notes import read_notes, write_note
from saev.errors import SaevError
from tests.app.examples import CELL
from tests.app.test_routes import LOOK, edit, error

ODD = (
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "%00",
    "nan",
    "-1",
    "9" * 30,
    "0.0",
    "0.0.text.png",
    "upload-../x",
    "é",
)
QUERIES = {
    "cell": {"cell"},
    "picture": {"cell", "image"},
    "look": {"cell", "image"},
    "features": {"cell", "image", "patches", "by"},
    "feature": {"cell", "image", "latent"},
    "alike": {"cell", "image", "patches"},
    "twin": {"cell", "image", "region", "attribute", "target"},
}
GOOD = {
    **LOOK,
    "latent": "1",
    "patches": "1",
    "region": "0",
    "attribute": "text",
    "target": "0",
    "by": "rarity",
}


@pytest.mark.parametrize("route", QUERIES)
def test_every_parameter_wrong_in_every_way_is_told_in_a_line(client, route):
    good = {key: GOOD[key] for key in QUERIES[route]}
    assert client.get(f"/api/{route}", params=good).status_code == 200
    for key in good:
        for value in ODD:
            response = client.get(f"/api/{route}", params={**good, key: value})
            assert response.status_code in (200, 400), (key, value)
            if response.status_code == 400:
                error(response)
            else:  # no patches: all of them
                assert key == "patches" and value == ""
    assert client.get(f"/api/{route}", params=good).status_code == 200


@pytest.mark.parametrize(
    "strength", ["NaN", "Infinity", "-Infinity", "1e400", "1e9", '"2"', "null", "true", "[2]"]
)
def test_a_slider_that_is_no_number_is_refused(client, strength):
    body = json.dumps(edit()).replace("[2]", f"[{strength}]")
    response = client.post("/api/edit", content=body)
    assert response.status_code == 400 and "edit.strengths" in error(response)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 50_000, b'{"cell": 1}', b'{"cell": "x"}']
)
def test_a_body_that_is_no_request_is_refused(client, body):
    for route in ("edit", "note", "hypothesis"):
        assert error(client.post(f"/api/{route}", content=body))


def test_a_body_that_is_too_large_is_not_read(client):
    assert client.post("/api/edit", content=b" " * 70_000).status_code == 413


def test_fifty_clients_at_once_all_get_an_answer(client):
    answers = []

    def ask(n):
        response = client.post("/api/edit", json=edit(n % 60), headers={"x-client": str(n)})
        answers.append((n, response))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    for _, response in answers:
        assert response.status_code == 200 and unpack(response.content)[1]["labels"].shape == (3, 16)


def test_what_a_client_asks_anew_supersedes_what_it_waits_for(client, bench, monkeypatch):
    import saev.app.routes as routes

    entered, leave, computed, answers = threading.Event(), threading.Event(), [], []
    slow = routes.answer

    def held(bench, subject, change):
        computed.append(change.latents[0])
        entered.set()
        leave.wait(10)
        return slow(bench, subject, change)

    monkeypatch.setattr(routes, "answer", held)

    def ask(n):
        answers.append(
            (n, client.post("/api/edit", json=edit(n), headers={"x-client": "a page"}).status_code)
        )

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    threads[0].start()
    entered.wait(10)
    for thread in threads[1:]:
        thread.start()
        while client.lab.model.waiting <= threads.index(thread):
            time.sleep(0.01)
    leave.set()
    for thread in threads:
        thread.join()
    assert computed == [0, 5]
    assert sorted(answers) == [(0, 200), *((n, 409) for n in range(1, 5)), (5, 200)]


def test_a_file_of_notes_keeps_every_character_that_is_not_the_note(tmp_path):
    file = tmp_path / "notes.yaml"
    file.write_text("# mine\n12: stripes  # sure\n3: |\n  two\n  lines\n40: 'x'")
    write_note(file, 12, "dots: many")
    write_note(file, 3, "one")
    write_note(file, 99, "new")
    assert file.read_text() == '# mine\n12: "dots: many"  # sure\n3: "one"\n40: \'x\'\n99: "new"\n'
    assert read_notes(file) == {12: "dots: many", 3: "one", 40: "x", 99: "new"}


@pytest.mark.parametrize("content", ["[1]", "a: b", "1: [x", "1: 2", "{1: x}"])
def test_a_file_that_is_not_of_notes_is_left_as_it_is(tmp_path, content):
    file = tmp_path / "notes.yaml"
    file.write_text(content)
    with pytest.raises(SaevError):
        write_note(file, 5, "x")
    assert file.read_text() == content and list(tmp_path.iterdir()) == [file]


def test_a_note_on_a_cell_of_another_name_is_refused(client, tmp_path):
    for cell in ("../x", f"../notes/{CELL}", "", "nope"):
        assert "cell must be" in error(
            client.post("/api/note", json={"cell": cell, "latent": 1, "text": "x"})
        )
    assert not list(tmp_path.iterdir())
