"""meanings -> counterfactuals: does the edit of a latent do what taking its concept out of the image does?"""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.edited import asked, directions, scenes_of, task_of
from pipeline.stage import read, stage
from saev.checks import check_seed

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.intervention.counterfactual import Twins
    from saev.intervention.twin_edits import TwinOptions
    from saev.probing import Match

RESULTS = {r"counterfactual\.json": '"arms"', r"metrics\.json": None, r"pairs\.(svg|png)": None}
"""The files of its results, as `saev.outputs` knows them."""


@stage("counterfactual")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.intervention.twin_edits import TwinOptions
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.probing import load_matches

    cell, options, seed = Cell(cfg), read(TwinOptions, cfg.counterfactual), check_seed(cfg.seed)
    matches = load_matches(f"{cfg.matches}/matches.safetensors").get("concepts", [])
    results, reason = cell.results("counterfactual"), unable(cell, matches)
    with new_directory(results, RESULTS) as out:
        record = {"reason": reason, "pairs": 0, "arms": [], "attributes": [], "points": []}
        if not reason:
            twins = seen(cell, "val", matches, options.pairs)
            record |= {"pairs": len(twins), **held_against(cell, twins, matches, options, seed)}
            draw(record, out)
        write_json(out / "counterfactual.json", record)
        write_json(out / "metrics.json", headline(record["arms"]))
    told = f"{record['pairs']} pairs, {len(record['arms'])} kinds of edit"
    say(f"counterfactual: {reason or told}; in {results}")


def unable(cell: Cell, matches: "list[Match]") -> str | None:
    """Why there is nothing to hold edits against, if so."""
    from saev.data import Mosaic

    if not isinstance(cell.images("val"), Mosaic):
        return "only images of the embedded data can be made anew without a concept"
    if cell.tokens("val").grid is None:
        return "the SAE reads other tokens than patches"
    if cell.concept_task is None or not matches:
        return "no latent was chosen for any concept, or no head was fitted to them"
    return None


def seen(cell: Cell, split: str, matches: "list[Match]", n: int) -> "Twins":
    """Scenes of a split that differ in an attribute which a latent was chosen for, run through the model."""
    from saev.intervention.counterfactual import see_twins
    from saev.probing.pairs import first_pairs

    pairs = first_pairs(scenes_of(cell, split), n, [match.name for match in matches])
    return see_twins(pairs, cell.backbone, task_of(cell, "concepts"), cell.tokens("val").layer, cell.machine)


def held_against(
    cell: Cell, twins: "Twins", matches: "list[Match]", options: "TwinOptions", seed: int
) -> dict:
    """What each kind of edit reproduces of the image's change."""
    from saev.intervention.reproduction import reproductions
    from saev.intervention.twin_edits import TwinEditor, calibration, twin_edits

    along = directions(cell, asked(cell, "concepts"), seed)
    toggled = set(twins.attribute_m)
    chosen = {match.name: (match.latent,) for match in matches if match.name in toggled}
    claimed = {match.name for match in matches if match.claimed}
    editor = TwinEditor(cell.sae, twins, cell.codes("train"), along)
    of_both = [match for match in matches if match.name in toggled]
    training = replace(editor, twins=seen(cell, "train", of_both, options.pairs))
    factors = calibration(training, chosen, options.strengths[0])
    return reproductions(twins, twin_edits(editor, chosen, options, factors), claimed, seed=seed)


def draw(record: dict, out: Path) -> None:
    """The picture of every pair, the image's change against the edit's."""
    from saev.report import pairs_plot, save

    save(pairs_plot(record), out / "pairs.svg")


def headline(arms: list[dict]) -> dict[str, dict]:
    """The metrics of every kind of edit at the strength that controls are matched to."""
    first = arms[0]["strength"] if arms else None
    return {
        re.sub(r"\W+", "_", arm["method"]): {key: arm[key] for key in ("share", "r", "sign", "off")}
        for arm in arms
        if arm["strength"] == first
    }


if __name__ == "__main__":
    main()
