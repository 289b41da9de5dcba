"""meanings -> tests: edit each concept's latents inside the model and measure what changes, against
controls."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.edited import asked, chosen, known_of, opened
from pipeline.pictures import edited_maps, seen
from pipeline.stage import read, stage
from saev.checks import COUNT, Options, check_int, check_seed
from saev.errors import SaevError
from saev.files import read_json

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.intervention import Arm, Outcome

RESULTS = {r"outcome\.json": '"points"', r"metrics\.json": None, r"(tradeoff|maps-\d+)\.(svg|png)": None}
"""The files of its results, as `saev.outputs` knows them."""


@dataclass(frozen=True, kw_only=True)
class Experiment(Options, section="intervene"):
    """On how much, and the options that arms have unless they say otherwise."""

    images: Annotated[int, COUNT]
    strengths: tuple[float, ...]
    """The last is that of the headline: fixed in the file, and never the best that was found."""
    arms: tuple[dict, ...]
    listed: dict = field(default_factory=dict)
    """{class: its latents}, for arms whose selector is `listed`."""

    def __post_init__(self):
        super().__post_init__()
        for name, latents in self.listed.items():
            if not isinstance(latents, list) or not latents:
                raise SaevError(f"intervene.listed.{name} must be a list of latents, got {latents!r}")
            for latent in latents:
                check_int(f"intervene.listed.{name}", latent, low=0)
        if not self.listed and any(row.get("selector") == "listed" for row in self.arms):
            raise SaevError(
                "intervene.listed must name the latents of an arm whose selector is listed, got {}"
            )


@stage("intervene")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.intervention import (
        Arm,
        Illustration,
        check_arms,
        clusters_of,
        edited_images,
        run_experiment,
        summarise,
    )
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.report import map_pages, save, save_pages, tradeoff

    cell, seed = Cell(cfg), check_seed(cfg.seed)
    experiment, maps = read(Experiment, cfg.intervene), read(Illustration, cfg.maps)
    usual = {"images": experiment.images, "strengths": experiment.strengths}
    arms = [read(Arm, usual | row) for row in experiment.arms]
    check_arms(arms)
    matches = {match["name"]: match for match in read_json(cell.results("probe") / "classes.json")}
    results, reason, outcomes = cell.results("intervene"), unable(cell, matches), []
    if not reason:
        splits, picture = asked(cell, "classes"), seen(cell, "val")
        setup = opened(cell, splits, arms, experiment.images, seed)
        latents = {name: match["latent"] for name, match in matches.items()}
        known = known_of(cell, splits, latents, experiment.images, seed)._replace(listed=experiment.listed)
    with new_directory(results, RESULTS) as out:
        if reason:
            write_json(out / "metrics.json", None)
            write_json(
                out / "outcome.json",
                {"reason": reason, "images": 0, "strength": None, "points": [], "curves": [], "classes": []},
            )
        else:
            among = chosen(setup, known, ["best f1", *(arm.selector for arm in arms)], seed)
            for name, of_selector in among.items():
                if mine := [arm for arm in arms if arm.selector == name]:
                    outcomes += run_experiment(setup, of_selector, mine)
            summary = summarise(outcomes, cluster_n=clusters_of(setup), seed=seed)
            of = {"reason": None, "images": len(setup.model), "strength": experiment.strengths[-1]}
            write_json(out / "outcome.json", of | summary)
            write_json(out / "metrics.json", headline(summary["points"], summary["curves"], of["strength"]))
            save(tradeoff(summary["points"], summary["curves"]), out / "tradeoff.svg")
            names = sorted(matches, key=lambda name: -matches[name]["f1"])[: maps.classes]
            best = [trial for name in names for trial in among["best f1"] if trial.name == name]
            shown = list(edited_maps(cell, picture, edited_images(best, maps)))
            words = f"set to {maps.strength:g} x its maximum"
            save_pages(map_pages(shown, setup.model.task.classes, words), out, "maps")
    told = f"{len(arms)} arms on {len(matches)} concepts{absent(arms, outcomes)}"
    say(f"intervene: {reason or told}; in {results}")


def absent(arms: "Iterable[Arm]", outcomes: "Iterable[Outcome]") -> str:
    """In words, the methods that there was nothing for in any class."""
    there = {outcome.arm.method for outcome in outcomes}
    names = dict.fromkeys(arm.method for arm in arms if arm.method not in there)
    return f", without {'; '.join(names)}" if names else ""


def unable(cell: Cell, matches: dict) -> str | None:
    """Why there is nothing to edit, if so."""
    if cell.task is None:
        return f"no task: {read_json(f'{cell.cfg.head_dir}/config.json')['reason']}"
    if not matches:
        return "no latent was chosen for any concept"
    if not cell.tokens("val").of_model:
        return "the SAE reads mean patch tokens, which the model has no such token of to edit"
    return None


def headline(points: list[dict], curves: list[dict], strength: float) -> dict:
    """The metrics of every method in every place, {method: {place: {...}}}: at one strength the effect,
    target change minus the control's, with both beside it; the areas over all strengths; and what else has
    changed where 80 % of the target have."""
    at = {(of["method"], of["place"]): of for of in points if of["strength"] == strength}
    metrics = {}
    for curve in curves:
        point = at.get((curve["method"], curve["place"]), {})
        low, high = point.get("effect_interval") or (None, None)
        values = {
            key: point.get(key) for key in ("effect", "target", "control_target", "other", "collateral")
        }
        values |= {"effect_low": low, "effect_high": high}
        values |= {key: curve.get(key) for key in ("selectivity", "selectivity_null")}
        for key in ("other_at_80", "collateral_at_80"):
            low, high = curve.get(f"{key}_interval") or (None, None)
            values |= {key: curve.get(key), f"{key}_low": low, f"{key}_high": high}
        metrics.setdefault(re.sub(r"\W+", "_", curve["method"]), {})[curve["place"]] = values
    return metrics


if __name__ == "__main__":
    main()
