"""The README tells the truth: its table is the committed run."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def metrics(stage: str, sae: str) -> dict:
    return json.loads((ROOT / f"results/{stage}/mosaic-dinov2_packaged-{sae}/metrics.json").read_text())


@pytest.mark.parametrize("sae", ["topk", "relu"])
def test_results_table_is_the_committed_run(sae):
    train, probe, intervene = (metrics(stage, sae) for stage in ("train", "probe", "intervene"))
    edit = intervene["chosen_latent"]["all"]
    expected = [
        f"{train['val']['l0']:.1f}",
        f"{train['val']['nmse']:.3f}",
        f"{train['train']['nmse']:.3f}",
        f"{100 * train['val']['dead']:.1f} %",
        f"{100 * train['fidelity']['recovered']:.1f} %",
        f"{probe['f1']:.2f}",
        f"{probe['null_f1']:.3f}",
        f"{edit['selectivity']:.2f}",
        f"{100 * edit['other_at_80']:.1f} %",
    ]
    (row,) = re.findall(rf"^\| {sae} \|(.*)\|$", README, re.M)
    assert [cell.strip() for cell in row.split("|")] == expected


def test_claims_about_the_controls():
    for sae in ("topk", "relu"):
        for control in ("random_latent", "random_direction"):
            edit = metrics("intervene", sae)[control]["all"]
            assert 0.445 <= edit["selectivity"] < 0.505 and edit["other_at_80"] is None
    assert f"{metrics('intervene', 'topk')['chosen_latent']['class']['other_at_80']:.1%}" == "0.5%"


def test_paths_and_commands_exist():
    assert "make study" in README and "make test" in README
    for image in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / image).is_file()
    for module in re.findall(r"python -m (pipeline\.\w+)", README):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
