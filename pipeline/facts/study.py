"""The cells of a study, and the facts about each."""

from pathlib import Path

from pipeline.facts.closure import Closure
from pipeline.facts.configuration import CONF, compose, read, strings, targets
from pipeline.facts.graph import Code
from pipeline.facts.inputs import contents, state
from saev.errors import SaevError

HOME = Path(__file__).parents[2]


def grid(file: Path) -> dict[str, list[str]]:
    """Group of conf/ -> those of its choices that the study goes through, from its study.yaml."""
    study = read(file).get("study")
    if not isinstance(study, dict):
        raise SaevError(f"{file}: expected lists data, backbones, saes below `study:`, got {study!r}")
    found = {key.removesuffix("s"): names for key, names in study.items() if isinstance(names, list)}
    for name in (str(name) for names in found.values() for name in names):
        if "." in name:
            raise SaevError(
                f"{file}: DVC would take the dot in {name!r} for a level; give its file another name"
            )
    return found


def collect(grid: dict[str, list[str]], home: Path = HOME) -> dict[str, dict | str]:
    """The facts about all cells of the grid; the code is that below `home`."""
    code = Code(str(home))

    def cells(stage: str, groups: list[str], chosen: dict[str, str]) -> dict | str:
        if not groups:
            return closure(code, stage, chosen).digest
        first, *others = groups
        return {name: cells(stage, others, {**chosen, first: name}) for name in grid[first]}

    found = {}
    for stage in stages(code):
        defaults = read(CONF / f"{stage}.yaml").get("defaults", [])
        groups = [group for entry in defaults if isinstance(entry, dict) for group in entry if group in grid]
        found[stage] = cells(stage, groups, {})
    files = {"images": "data", "weights": "backbone", "pretrained": "sae"}
    told = {"notes": contents(str(read(CONF / "atlas.yaml").get("notes")))}
    return {"code": found} | {fact: inputs(group, grid) for fact, group in files.items()} | told


def stages(code: Code) -> list[str]:
    """Those that are configured."""
    return sorted(file.stem for file in CONF.glob("*.yaml") if code.module(f"pipeline.{file.stem}"))


def closure(code: Code, stage: str, chosen: dict[str, str]) -> Closure:
    """What a stage executes with these choices of groups."""
    composed = list(compose(CONF / f"{stage}.yaml", chosen))
    # What an earlier stage was told by name may come to this one in a file.
    told = [*composed, *(read(CONF / f"{other}.yaml") for other in stages(code))]
    roots = [f"pipeline.{stage}.main", f"pipeline.{stage}.__main__", *sorted(targets(composed))]
    return Closure(code, roots, (key for text in strings(told) for key in (text, text.rpartition(".")[2])))


def inputs(group: str, grid: dict[str, list[str]]) -> dict[str, str | None]:
    """For each choice of the group the state of the files that it names."""
    options = {name: read(CONF / group / f"{name}.yaml") for name in grid.get(group, [])}
    return {
        name: state(strings([value for key, value in chosen.items() if key not in ("name", "_target_")]))
        for name, chosen in options.items()
    }
