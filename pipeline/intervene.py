"""meanings -> tests: edit each concept's latent inside the model and measure what changes, against
controls."""

import re
from dataclasses import dataclass
from typing import Annotated

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.pictures import edited_maps, seen
from pipeline.stage import read, stage
from saev.checks import COUNT, Options, check_seed
from saev.files import read_json

RESULTS = {r"outcome\.json": '"points"', r"metrics\.json": None, r"(tradeoff|maps-\d+)\.png": None}
"""The files of its results, as `saev.outputs` knows them."""


@dataclass(frozen=True, kw_only=True)
class Experiment(Options, section="intervene"):
    """On how much, and the options that arms have unless they say otherwise."""

    images: Annotated[int, COUNT]
    strengths: tuple[float, ...]
    arms: tuple[dict, ...]


@stage("intervene")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.intervention import Arm, Illustration, Setup, edited_images, run_experiment, summarise, trials
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.report import map_pages, save, save_pages, tradeoff

    cell, seed = Cell(cfg), check_seed(cfg.seed)
    experiment, maps = read(Experiment, cfg.intervene), read(Illustration, cfg.maps)
    usual = {"images": experiment.images, "strengths": experiment.strengths}
    arms = [read(Arm, usual | row) for row in experiment.arms]
    matches = {match["name"]: match for match in read_json(cell.results("probe") / "classes.json")}
    results, reason = cell.results("intervene"), unable(cell, matches)
    if not reason:
        model, picture = cell.opened(experiment.images, seed), seen(cell, "val")
        setup = Setup(cell.sae, model, cell.tokens("val"), cell.codes("train"), cell.codes("val"))
    with new_directory(results, RESULTS) as out:
        if reason:
            write_json(out / "metrics.json", None)
            write_json(
                out / "outcome.json",
                {"reason": reason, "images": 0, "points": [], "curves": [], "classes": []},
            )
        else:
            among = trials(setup, {name: match["latent"] for name, match in matches.items()}, seed)
            summary = summarise(run_experiment(setup, among, arms), seed=seed)
            write_json(out / "outcome.json", {"reason": None, "images": len(setup.model), **summary})
            write_json(out / "metrics.json", headline(summary["curves"]))
            save(tradeoff(summary["points"], summary["curves"]), out / "tradeoff.png")
            names = sorted(matches, key=lambda name: -matches[name]["f1"])[: maps.classes]
            classes = cell.task.classes
            best = [trial for name in names for trial in among if classes[trial.target] == name]
            shown = list(edited_maps(cell, picture, edited_images(best, maps)))
            save_pages(map_pages(shown, classes, f"set to {maps.strength:g} x its maximum"), out, "maps")
    say(f"intervene: {reason or f'{len(arms)} arms on {len(matches)} concepts'}; in {results}")


def unable(cell: Cell, matches: dict) -> str | None:
    """Why there is nothing to edit, if so."""
    if cell.task is None:
        return f"no task: {read_json(f'{cell.cfg.head_dir}/config.json')['reason']}"
    if not matches:
        return "no latent was chosen for any concept"
    if not cell.tokens("val").of_model:
        return "the SAE reads mean patch tokens, which the model has no such token of to edit"
    return None


def headline(curves: list[dict]) -> dict:
    """The metrics of every method in every place, {method: {place: {...}}}."""
    metrics = {}
    for curve in curves:
        values = {key: curve.get(key) for key in ("selectivity", "other_at_80")}
        metrics.setdefault(re.sub(r"\W+", "_", curve["method"]), {})[curve["place"]] = values
    return metrics


if __name__ == "__main__":
    main()
