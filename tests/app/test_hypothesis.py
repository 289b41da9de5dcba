"""What the laboratory writes down is what the hypotheses stage reads."""

import pytest

from saev.app.hypothesis import Found, write_hypothesis
from saev.errors import SaevError

FOUND = {
    "name": "cat-7",
    "claim": 'Taking it out: "cats" go, # others stay',
    "concept": "cat",
    "latents": (7, 3),
    "edit": "set",
    "place": "class",
    "strength": -2,
}


@pytest.mark.parametrize(
    "changes", [{}, {"edit": "ablate", "strength": 3}, {"margin": None}, {"place": "active"}]
)
def test_a_finding_is_accepted_as_a_hypothesis(tmp_path, changes):
    hypotheses = pytest.importorskip("saev.hypotheses.hypothesis")
    write_hypothesis(Found(**FOUND | changes), "a-cell-L1-topk", tmp_path)
    (read,) = hypotheses.read_hypotheses(tmp_path)
    assert (read.name, read.claim, read.cell) == ("cat-7", FOUND["claim"], "a-cell-L1-topk")
    assert read.latents == (3, 7) and read.kind == "exploratory"
    assert read.strength == (0 if "edit" in changes else -2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../x"}, "hypothesis.name"),
        ({"name": "Cat"}, "hypothesis.name"),
        ({"place": "selected"}, "hypothesis.place"),
        ({"edit": "explode"}, "hypothesis.edit"),
        ({"latents": ()}, "hypothesis.latents"),
        ({"latents": (3, 3)}, "hypothesis.latents"),
        ({"strength": float("nan")}, "hypothesis.strength"),
        ({"smallest": 1}, "hypothesis.smallest"),
        ({"margin": 0}, "hypothesis.margin"),
        ({"claim": "x" * 1001}, "hypothesis.claim"),
        ({"claim": " "}, "hypothesis.claim"),
    ],
)
def test_what_would_be_no_hypothesis_is_told_in_a_line(changes, words):
    with pytest.raises(SaevError, match=words):
        Found(**FOUND | changes)


def test_a_hypothesis_is_never_written_over(tmp_path):
    file = write_hypothesis(Found(**FOUND), "a", tmp_path)
    before = file.read_bytes()
    with pytest.raises(SaevError, match="choose another"):
        write_hypothesis(Found(**FOUND), "b", tmp_path)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
