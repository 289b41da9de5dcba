"""The box at the head of the page: every number in it counted by hand."""

from saev.report import Results, conclusions, gather
from tests.report.studies import verdicts, write_study


def told(root, rows=(), **study) -> dict[str, str]:
    grid = write_study(root, **study) | {"untrained": ["random"]}
    found = conclusions(gather(Results(root), grid), list(rows))
    return {part["of"]: " ".join(part["said"]).replace("\N{NO-BREAK SPACE}", " ") for part in found}


def test_one_sae_is_told_in_its_own_numbers(tmp_path):
    said = told(tmp_path, verdicts(), saes=("topk",))
    assert list(said) == ["What was predicted", "How well SAEs explain it", "What it means", "What edits do"]
    predicted = "Of 2 predictions came out 1 supported and 1 inconclusive; of the 2 tried on sealed images 1"
    assert said["What was predicted"].startswith(predicted)
    assert said["How well SAEs explain it"] == (
        "A token is written with 31.5 of 64 latents, which leaves 12.3 % of its variance unexplained and "
        "keeps 85.7 % of the task."
    )
    assert "better than chance 3 of 3 classes (mean F1 0." in said["What it means"]
    assert said["What it means"].endswith("Certainly beyond every floor: classes in 1 of 1 SAE.")
    assert said["What edits do"] == (
        "Edits on every token of strength \N{MINUS SIGN}2 change 90.0 % of their target, 60.0 points more "
        "than the control does; certainly more in 1 of 1. Of what taking a concept out of the image does, "
        "editing its latent does 90 %, a random latent 2 %."
    )


def test_several_are_told_as_a_range(tmp_path):
    grid = write_study(tmp_path, saes=("topk", "relu"))
    stores = gather(Results(tmp_path), grid)
    one, other = stores[0]["layers"][0]["saes"]
    one["val"]["nmse"], other["val"]["nmse"] = 0.2, 0.31
    one["floors"][0]["classes"]["low"] = -0.1
    one["headline"]["interval"] = [-0.2, 0.9]
    said = {part["of"]: " ".join(part["said"]) for part in conclusions(stores, [])}
    assert "20.0\N{NO-BREAK SPACE}% to 31.0\N{NO-BREAK SPACE}%" in said["How well SAEs explain it"]
    assert "classes in 1 of 2 SAEs" in said["What it means"]
    assert "certainly more in 1 of 2." in said["What edits do"]


def test_what_a_network_that_learnt_nothing_reaches_is_told_apart(tmp_path):
    said = told(tmp_path, saes=("topk",), backbones=("vit", "random"))
    assert "3 of 3 classes" in said["What it means"] and "in 1 of 1 SAE" in said["What it means"]
    assert "3 of 3 classes" in said["In networks that learnt nothing"]
    alone = told(tmp_path / "alone", saes=("topk",), backbones=("random",))
    assert list(alone) == ["In networks that learnt nothing"]


def test_nothing_is_said_of_what_was_not_measured(tmp_path):
    assert list(told(tmp_path, labelled=None)) == ["How well SAEs explain it"]
