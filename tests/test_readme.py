"""The README tells the truth: its table is the committed run."""

import json
import re
import subprocess
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


def arm(cell: str, method: str) -> dict:
    """Of the edits that controls are matched to."""
    arms = read("counterfactual", cell, "counterfactual")["arms"]
    return next(row for row in arms if (row["method"], row["strength"]) == (method, arms[0]["strength"]))


def reproduced(cell: str) -> str:
    """What edits do of what the image's change does, and what random latents do."""
    chosen, random = arm(cell, "chosen latent"), arm(cell, "random latent")
    if chosen["share"] is None:
        return "no such latent"
    interval = (
        "" if chosen["share_low"] is None else f" [{chosen['share_low']:.0%}, {chosen['share_high']:.0%}]"
    )
    return f"{chosen['share']:.0%}{interval} ({random['share']:.0%})"


def findings() -> str:
    """The sentence about edits under the table."""
    parts = []
    for cell, layer in zip(CELLS[:2], (4, 10), strict=True):
        chosen, means = arm(cell, "chosen latent"), arm(cell, "difference of means")
        parts.append(
            f"at layer {layer} {chosen['share']:.0%}, with the right sign in {chosen['sign']:.0%} of pairs "
            f"(r {chosen['r']:.2f}), "
            f"and the difference of means, pushed as far, {means['share']:.0%} (r {means['r']:.2f})"
        )
    nothing = [arm(cell, "chosen latent") for cell in CELLS[2:]]
    shares, signs = ([f"{row[key]:.0%}" for row in nothing] for key in ("share", "sign"))
    learnt = f"in the network that learnt nothing {' and '.join(shares)}, with a sign that is right in"
    return "; ".join([*parts, f"{learnt} {' and '.join(signs)}"])


def predicted() -> str:
    """The sentence about verdicts."""
    rows = json.loads((ROOT / "results/verdicts/verdicts.json").read_text())["verdicts"]
    supported, refuted = (sum(row["verdict"] == of for row in rows) for of in ("supported", "refuted"))
    sealed = [row for row in rows if row["kind"] == "confirmatory"]
    held = sum(row["verdict"] == "supported" for row in sealed)
    return (
        f"Of {len(rows)} predictions, registered before their outcomes were read, {supported} were supported "
        f"and {refuted} refuted; of the {len(sealed)} tried on photographs that chose nothing, {held}"
    )


def row_of(cell: str) -> list[str]:
    scores, probe, described = read("evaluate", cell), read("probe", cell), read("probe", cell, "described")
    edit = read("intervene", cell)["chosen_latent"]["all"]
    effect = f"{edit['effect']:+.0%} [{edit['effect_low']:+.0%}, {edit['effect_high']:+.0%}]"
    return [
        f"{scores['val']['nmse']:.3f}",
        f"{100 * scores['fidelity']['recovered']:.1f} %",
        claimed(probe),
        claimed(described),
        gain(cell),
        reproduced(cell),
        effect,
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_results_table_is_the_committed_run(cell):
    _, backbone, layer, _ = cell.split("-")
    (row,) = re.findall(rf"^\| {backbone} \| {layer[1:]} \|(.*)\|$", README, re.M)
    assert [entry.strip() for entry in row.split("|")] == row_of(cell)


def test_sentences_under_the_table_are_of_the_committed_run():
    words = " ".join(README.split())
    assert findings() in words and predicted() in words


def test_paths_and_commands_exist():
    assert "make study" in README and "make test" in README
    for image in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / image).is_file()
    for module in re.findall(r"python -m (pipeline\.\w+)", README):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


def test_git_keeps_those_pictures_alone_that_are_shown():
    listed = subprocess.run(
        ["git", "ls-files", "report", "results"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("no git repository, as in an unpacked archive")
    shown = {image for image in re.findall(r"!\[.*?\]\((.*?)\)", README) if "://" not in image}
    kept = {name for name in listed.stdout.splitlines() if not name.endswith((".json", ".jsonl"))}
    assert kept == {image for image in shown if image.startswith("report/")}


def test_what_goes_out_with_its_concept_is_as_many_as_is_said():
    gone = []
    for cell in CELLS:
        rows = read("causes", cell, "agreement")
        gone.append(sum(row["q"] is not None and row["q"] <= 0.05 for row in rows))
    n = len(read("causes", CELLS[0], "agreement"))
    counts = f"{gone[0]} of {n} at layer 4 and {gone[1]} at layer 10"
    assert f"{counts}, and {gone[2]} and {gone[3]} in the network that learnt nothing" in " ".join(
        README.split()
    )


def test_sparse_probes_reach_what_is_said():
    f1 = {(row["read"], row["k"]): row["f1"] for row in read("probe", CELLS[0], "sparse")["concepts"]}
    words = (
        f"F1 of {f1['sae', 4]:.2f} with four latents ({f1['frozen-soft', 4]:.2f} softly frozen, "
        f"{f1['neurons', 4]:.2f} neurons, {f1['activations', None]:.2f} all activations)"
    )
    assert words in " ".join(README.split())
