"""The README tells the truth: its table is the committed run."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def metrics(stage: str, sae: str) -> dict:
    cell = f"mosaic-dinov2_packaged-L10-{sae}"
    return json.loads((ROOT / f"results/{stage}/{cell}/metrics.json").read_text())


@pytest.mark.parametrize("sae", ["topk", "relu"])
def test_results_table_is_the_committed_run(sae):
    scores, probe, intervene = (metrics(stage, sae) for stage in ("evaluate", "probe", "intervene"))
    edit = intervene["chosen_latent"]["all"]
    reached = edit["other_at_80"]
    expected = [
        f"{scores['val']['l0']:.1f}",
        f"{scores['val']['nmse']:.3f}",
        f"{scores['train']['nmse']:.3f}",
        f"{100 * scores['val']['dead']:.1f} %",
        f"{100 * scores['fidelity']['recovered']:.1f} %",
        f"{probe['f1']:.2f}",
        f"{probe['null_f1']:.3f}",
        f"{edit['selectivity']:.2f}",
        "never" if reached is None else f"{100 * reached:.1f} %",
    ]
    (row,) = re.findall(rf"^\| {sae} \|(.*)\|$", README, re.M)
    assert [cell.strip() for cell in row.split("|")] == expected


def test_claims_about_the_controls():
    edits = [
        metrics("intervene", sae)[control]["all"]
        for sae in ("topk", "relu")
        for control in ("random_latent", "random_direction")
    ]
    selectivities = [edit["selectivity"] for edit in edits]
    assert f"{min(selectivities):.2f} to {max(selectivities):.2f}" in README
    own = metrics("intervene", "topk")["chosen_latent"]["class"]["other_at_80"]
    assert f"change {100 * own:.1f} % of the others" in README


def test_paths_and_commands_exist():
    assert "make study" in README and "make test" in README
    for image in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / image).is_file()
    for module in re.findall(r"python -m (pipeline\.\w+)", README):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
