"""The README tells the truth: its table is the committed run."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BACKBONES = ("dinov2_packaged", "dinov2_untrained")
CELLS = [f"mosaic-{backbone}-L{layer}-topk" for backbone in BACKBONES for layer in (4, 10)]


def read(stage: str, cell: str, name: str = "metrics"):
    return json.loads((ROOT / f"results/{stage}/{cell}/{name}.json").read_text())


def claimed(probe: dict) -> str:
    """How many beat their null, and their mean F1."""
    f1 = "" if probe["f1"] is None else f", F1 {probe['f1']:.2f}"
    return f"{probe['claimed']} of {probe['concepts']}{f1}"


def gain(cell: str) -> str:
    """In F1 of concepts over the best floor, seeds aside, with its interval."""
    rows = [row for row in read("probe", cell, "floors") if row["of"] == "concepts"]
    rows = [row for row in rows if not row["floor"].startswith("seed")]
    if not rows:
        return "it is one itself"
    best = min(rows, key=lambda row: row["gain"])
    return f"{best['gain']:+.3f} [{best['low']:+.3f}, {best['high']:+.3f}] ({best['floor']})"


def row_of(cell: str) -> list[str]:
    scores, probe, described = read("evaluate", cell), read("probe", cell), read("probe", cell, "described")
    edit = read("intervene", cell)["chosen_latent"]["all"]
    return [
        f"{scores['val']['nmse']:.3f}",
        f"{100 * scores['fidelity']['recovered']:.1f} %",
        claimed(probe),
        claimed(described),
        gain(cell),
        f"{edit['selectivity']:.2f}",
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_results_table_is_the_committed_run(cell):
    _, backbone, layer, _ = cell.split("-")
    (row,) = re.findall(rf"^\| {backbone} \| {layer[1:]} \|(.*)\|$", README, re.M)
    assert [entry.strip() for entry in row.split("|")] == row_of(cell)


def test_claims_about_the_controls():
    edits = [
        read("intervene", cell)[control]["all"]
        for cell in CELLS[:2]
        for control in ("random_latent", "random_direction")
    ]
    selectivities = [edit["selectivity"] for edit in edits]
    assert f"{min(selectivities):.2f} to {max(selectivities):.2f}" in README


def test_paths_and_commands_exist():
    assert "make study" in README and "make test" in README
    for image in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / image).is_file()
    for module in re.findall(r"python -m (pipeline\.\w+)", README):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
