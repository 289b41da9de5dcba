import json
import re

import pytest

from saev.errors import SaevError
from saev.report import Results, gather, gather_comparisons, gather_verdicts
from saev.report.records import SHAPES
from saev.report.shapes import filled, mismatch
from tests.report.studies import write, write_study

CELL = "birds-vit-L10-topk"


@pytest.fixture
def study(tmp_path):
    return tmp_path, write_study(tmp_path, saes=("topk",))


def refused(study, says: str) -> None:
    root, grid = study
    with pytest.raises(SaevError) as caught:
        gather(Results(root), grid)
        gather_comparisons(Results(root), [])
        gather_verdicts(Results(root))
    message = str(caught.value)
    assert says in message and "\n" not in message
    assert re.search(r"; run the \w+ stage( again)?$", message)


FOLDERS = {"extract": "birds-vit/", "head": "birds-vit/", "compare": "", "verdicts": ""}
FILES = sorted(f"results/{stage}/{FOLDERS.get(stage, f'{CELL}/')}{file}" for stage, file in SHAPES)
PICTURES = [
    f"results/{name}"
    for name in (f"probe/{CELL}/exemplars-1.png", f"probe/{CELL}/f1.svg", f"intervene/{CELL}/tradeoff.svg")
]


@pytest.mark.parametrize("file", FILES + PICTURES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "binary", "other"])
def test_a_missing_or_damaged_file_is_named_in_one_line(study, file, damage):
    path = study[0] / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        damages = {
            "empty": b"",
            "cut": content[: len(content) // 2],
            "binary": b"\xff\x00\x93",
            "other": b'"x"',
        }
        path.write_bytes(damages[damage])
    refused(study, str(path))


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("evaluate/metrics", lambda r: r["val"].pop("nmse"), "val.nmse is missing"),
        (
            "evaluate/metrics",
            lambda r: r["val"].update(nmse=None),
            "val.nmse must be a number >= 0, got None",
        ),
        (
            "evaluate/metrics",
            lambda r: r["val"].update(dead=-1),
            "val.dead must be a share in [0, 1], got -1",
        ),
        ("evaluate/metrics", lambda r: r["val"].update(l0=float("nan")), "NaN is no JSON number"),
        ("evaluate/metrics", lambda r: r["val"].update(l0=True), "val.l0 must be a number >= 0, got True"),
        ("evaluate/metrics", lambda r: r.update(fidelity=3), "fidelity must be a record, got 3"),
        ("evaluate/density", lambda r: r.append(1.5), "[64] must be a share in [0, 1], got 1.5"),
        ("probe/classes", lambda r: r[1].update(name=3), "[1].name must be a text, got 3"),
        (
            "probe/classes",
            lambda r: r[0].update(latent=2.5),
            "[0].latent must be a whole number >= 0, got 2.5",
        ),
        ("intervene/outcome", lambda r: r.update(points={}), "points must be a list, got {}"),
        (
            "contrast/metrics",
            lambda r: r.update(images=None),
            "images must be two whole numbers >= 0, got None",
        ),
        ("contrast/metrics", lambda r: r.update(groups=["f"]), "groups must be two texts or numbers"),
        ("contrast/metrics", lambda r: r.update(reason=3), "reason must be a text, got 3"),
        ("head/metrics", lambda r: r.pop("units"), "units is missing"),
        (
            "counterfactual/counterfactual",
            lambda r: r["arms"][0].pop("share_high"),
            "arms[0].share_high is null, the other end of its interval is not",
        ),
        ("train/curve", lambda r: r[0].update(mse="x" * 99), "[0].mse must be a number >= 0, got 'xxx"),
    ],
)
def test_a_wrong_value_is_named(study, file, change, says):
    stage, name = file.split("/")
    path = study[0] / "results" / stage / FOLDERS.get(stage, CELL) / f"{name}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    refused(study, f"{path}: ")
    refused(study, says)


def test_a_gap_between_pages_is_named(study):
    (study[0] / f"results/probe/{CELL}/exemplars-1.png").unlink()
    refused(study, "exemplars-1.png: not there")


def test_null_and_absent_are_the_same(tmp_path):
    write(tmp_path, "head", "x", "metrics.json", {"readout": None, "reason": "no labels"})
    record = Results(tmp_path).read("head", "x", "metrics.json")
    assert record["miou"] is None and record["units"] is None and record["reason"] == "no labels"


def test_what_tells_why_it_holds_nothing_may_hold_nothing(tmp_path):
    write(tmp_path, "contrast", "x", "metrics.json", {"reason": "no table", "largest": []})
    record = Results(tmp_path).read("contrast", "x", "metrics.json")
    assert record["groups"] is None and record["reason"] == "no table"


def test_shapes_are_of_the_keys_that_are_named_and_leave_others_alone():
    shape = SHAPES["extract", "metrics.json"]
    split = {"images": 3, "missing": 0, "classes": 2, "more": [1]}
    record = {"train": split, "val": split, "more": 2}
    assert mismatch(record, shape) is None
    complete = {**split, "labelled": None, "labelled_patches": None}
    assert filled(record, shape) == {"train": complete, "val": complete, "more": 2}


def test_a_study_has_all_its_cells(tmp_path):
    grid = write_study(tmp_path, data=("a", "b"), backbones=("v", "w"), layers=(-2, 4), saes=("x", "y", "z"))
    stores = gather(Results(tmp_path), grid)
    assert [store["name"] for store in stores] == ["a-v", "a-w", "b-v", "b-w"]
    for store in stores:
        assert [layer["folder"] for layer in store["layers"]] == [
            f"{store['name']}/L-2",
            f"{store['name']}/L4",
        ]
        assert all([sae["name"] for sae in layer["saes"]] == ["x", "y", "z"] for layer in store["layers"])
        assert store["layers"][0]["saes"][0]["latents"] == 64
