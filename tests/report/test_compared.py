"""Comparisons of cells, in words and as a picture."""

import pytest

from saev.report import Results, compared_concepts, gather_comparisons, save
from tests.report.studies import write_study


def comparison(tmp_path, untrained=("w",)):
    write_study(tmp_path, backbones=("v", "w"), classes=("cat", "dog", "tree"))
    (record,) = gather_comparisons(Results(tmp_path), list(untrained))
    return record


def test_a_sentence_names_both_sides_and_what_differs(tmp_path):
    record = comparison(tmp_path)
    assert record["untrained"] and record["sentence"] == (
        "layer 10, sae topk: mean F1 of all classes in v minus that in w (w has random weights): "
        "0.50 [0.40, 0.60]; of 3 classes 1 only in v and 2 unsettled."
    )
    assert [row["verdict"] for row in record["concepts"]] == ["unsettled", "only in v", "unsettled"]
    plain = comparison(tmp_path, ())
    assert not plain["untrained"] and "random" not in plain["sentence"]


@pytest.mark.parametrize("n", [0, 1, 3, 100])
def test_every_concept_or_the_most_different_are_drawn(tmp_path, n):
    write_study(tmp_path, backbones=("v", "w"), classes=("a",))
    (record,) = Results(tmp_path).read("compare", "", "compare.json")["compared"]
    (row,) = record["concepts"]
    record["concepts"] = [{**row, "name": f"c{i}", "difference": i / 100} for i in range(n)]
    figure = compared_concepts(record)
    drawn = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert drawn == [f"c{i}" for i in range(n)][::-1][:40]
    save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
