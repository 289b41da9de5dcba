from saev.report.tables import compared, doubts, floors, headline, verdict
from tests.report.studies import METHODS, STRENGTHS, nothing, outcome


def test_every_figure_stands_beside_its_controls():
    of = outcome(("cat", "dog"))
    of["points"].reverse()  # in whatever order they come
    table = compared(of)
    assert table["methods"] == list(METHODS) and len(table["places"]) == 2
    for place, words in zip(table["places"], ("on every token", "where the latent fires"), strict=True):
        assert place["words"] == words
        assert [row["strength"] for row in place["rows"]] == list(STRENGTHS)  # ablation first
        for row in place["rows"]:
            assert [cell["method"] for cell in row["cells"]] == list(METHODS)
            assert {cell["strength"] for cell in row["cells"]} == {row["strength"]}
        assert [curve["method"] for curve in place["curves"]] == list(METHODS)
    assert table["steers"] and table["tested"] == 2 and table["clusters"] == 20


def test_arms_that_were_not_run_leave_gaps():
    of = outcome(("cat",), methods=("random latent", "chosen latent"))
    of["points"] = [p for p in of["points"] if p["strength"] == 0 or p["method"] == "chosen latent"]
    of["curves"] = [c for c in of["curves"] if (c["method"], c["place"]) != ("random latent", "active")]
    table = compared(of)
    assert table["methods"] == ["chosen latent", "random latent"]
    everywhere, active = table["places"]
    assert [cell is None for cell in everywhere["rows"][1]["cells"]] == [False, True]
    assert active["curves"][1] == {}


def test_positive_strengths_steer_nowhere_below_zero():
    assert not compared(outcome(("cat",), strengths=(0.0, 1.0)))["steers"]


def test_classes_that_no_image_shows_are_told():
    of = outcome(("cat", "dog"))
    for row in of["classes"]:
        row["images"] = 0 if row["class"] == "dog" else row["images"]
    assert compared(of)["unmeasured"] == ["dog"]


def test_the_headline_is_the_effect_at_the_strength_that_was_fixed():
    of = outcome(("cat",))
    for point in of["points"]:  # the largest effect is no headline
        if (point["place"], point["method"], point["strength"]) == ("all", "chosen latent", -1.0):
            point |= {"target": 0.8, "control_target": 0.3, "effect": 0.5, "effect_interval": None}
    expected = {
        "place": "on every token",
        "strength": -1.0,
        "claim": 0.8,
        "control": 0.3,
        "effect": 0.5,
        "interval": None,
        "selectivity": 0.93,
    }
    assert headline(of | {"strength": -1.0}) == expected
    of["curves"].reverse()  # the order of the arms is the user's
    assert headline(of | {"strength": -1.0}) == expected
    assert headline(of | {"strength": -9.0})["effect"] is None
    assert headline(nothing()) is None


def test_doubts_are_chance_and_sharing():
    rows = [
        {"name": "a", "latent": 3, "q": 0.01},
        {"name": "b", "latent": 3, "q": 0.2},
        {"name": "c", "latent": 4, "q": None},
    ]
    assert doubts(rows) == {"chance": ["b", "c"], "shared": {3: ["a", "b"]}}


def test_the_verdict_names_what_is_beaten_and_what_is_not():
    def floor(name, low):
        gained = {"gain": low + 0.1, "low": low}
        return {"floor": name, "seed": name == "seed-1", "concepts": gained, "classes": None}

    rows = [floor("random", 0.1), floor("pca", 0.2), floor("frozen-soft", -0.1), floor("seed-1", -0.5)]
    assert verdict(rows) == (
        "Its latents detect concepts better than random and pca, but no better than frozen-soft."
    )
    assert verdict(rows[:1]) == "Its latents detect concepts better than random."
    assert verdict(rows[2:]) == "Its latents detect concepts no better than frozen-soft."
    assert verdict([]) == "Nothing is labelled: only its error can be held against theirs."


def test_floors_of_unlabelled_images_have_an_error_alone():
    probed = [{"floor": "pca", "of": "classes", "f1": None}, {"floor": "pca", "of": "concepts", "f1": 0.2}]
    assert floors([{"floor": "pca", "nmse": 0.3}], probed) == [
        {"floor": "pca", "nmse": 0.3, "classes": None, "concepts": probed[1]}
    ]
