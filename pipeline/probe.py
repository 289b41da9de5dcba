"""features -> meanings: which latent stands for which concept, against random latents and linear probes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.pictures import exemplars, seen
from pipeline.questions import against_floor, headline, of_floors, questions, teller
from pipeline.sparse import SAE, sparse_records
from pipeline.stage import read, stage
from saev.checks import Options, above, between, check_choice, check_int, check_seed

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.probing import Splits

METRICS = {"classes": "metrics.json", "concepts": "described.json"}
PICTURES = {"classes": "f1.svg", "concepts": "concepts.svg"}
RESULTS = {
    r"metrics\.json": '"null_f1_95"',
    r"(described|classes|concepts|floors|latents|sparse)\.json": None,
    r"(f1|concepts|sparse|exemplars-\d+)\.(svg|png)": None,
}
"""The files of its results, as `saev.outputs` knows them."""


@dataclass(frozen=True, kw_only=True)
class Probing(Options, section="probe"):
    """What is asked, and what is shown."""

    units: Literal["auto", "tokens", "images"]
    max_tokens: Annotated[int, between(2, 10**9)]
    strongest: Annotated[int, between(0, 1000)]
    exemplars: Annotated[int, between(1, 24)]
    scores: tuple[str, ...]
    sparse: tuple[int, ...]
    sparse_units: Annotated[int, between(2, 10**9)]
    sparse_floors: tuple[str, ...]
    permutations: Annotated[int, between(19, 10**6)]
    frequency: Annotated[float, above(0, up_to=1)]

    def __post_init__(self):
        from saev.probing.match import SCORES
        from saev.training import FLOORS

        super().__post_init__()
        for name in self.scores:
            check_choice("probe.scores", name, tuple(SCORES))
        for name in self.sparse_floors:
            check_choice("probe.sparse_floors", name, FLOORS)
        for k in self.sparse:
            check_int("probe.sparse", k, low=1)


@stage("probe")
def main(cfg: DictConfig) -> None:
    from saev.features import strongest_latents
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import staged
    from saev.probing import match_concepts, save_matches
    from saev.probing.saved import FILES
    from saev.report import exemplar_pages, f1_bars, save, save_pages, sparse_curves

    cell, options, seed = Cell(cfg), read(Probing, cfg.probe), check_seed(cfg.seed)
    picture, results = seen(cell, "val"), cell.results("probe")
    asked = questions(cell, options.units, cell.asking.ignore)
    codes, tell, told = [cell.codes(split) for split in ("train", "val")], teller(cell), []
    with staged((results, RESULTS), (cfg.matches, FILES)) as (output, matched):
        out = output.path
        drawn = {"times": options.permutations, "seed": seed, "among": codes[0].density <= options.frequency}
        found = {
            name: match_concepts(question.of(*codes), options.scores, **drawn)
            for name, question in asked.items()
        }
        for name, file in METRICS.items():
            matches, metrics = found.get(name, []), None
            if name in asked:
                metrics = headline(asked[name], matches, options.scores, seed)
                metrics["linear_probe"] = linear_probe(cell, asked[name].of(*codes), options, seed)
                told += [f"{metrics['claimed']} of {len(matches)} {name} beat their null"] if matches else []
            write_json(out / file, metrics)
            shown = [{**match.row(), **tell(match.latent)} for match in matches]
            write_json(out / f"{name}.json", shown)
            if shown:
                save(f1_bars(shown, name), out / PICTURES[name])
        save_matches(found, matched.path / "matches.safetensors")
        floors, few = [], {SAE: codes}
        for floor, theirs in of_floors(cell):
            if floor in options.sparse_floors:
                few[floor] = theirs
            for name, question in asked.items():
                rare = theirs[0].density <= options.frequency
                gained = against_floor(question.of(*theirs), found[name], seed, rare)
                floors.append({"floor": floor, "seed": floor in cell.seeds, "of": name, **gained})
        write_json(out / "floors.json", floors)
        draws = {"seed": seed, "max_units": options.sparse_units}
        curves = {
            name: sparse_records(cell, question, few, options.sparse, draws)
            for name, question in asked.items()
            if options.sparse and found[name]
        }
        write_json(out / "sparse.json", curves)
        if any(curves.values()):
            save(sparse_curves(curves), out / "sparse.svg")
        strongest = [{"latent": int(s), **tell(s)} for s in strongest_latents(codes[1], options.strongest)]
        write_json(out / "latents.json", strongest)
        named = [match.row() for matches in found.values() for match in matches]
        exemplified = list(exemplars(cell, picture, named or strongest, options.exemplars))
        save_pages(exemplar_pages(exemplified), out, "exemplars")
    say(f"probe: {' and '.join(told) or 'no concept is labelled in both splits'}; in {results}")


def linear_probe(cell: Cell, splits: "Splits", options: Probing, seed: int) -> dict | None:
    """What linear classifiers make of activations and of codes."""
    from saev.probing import linear_probes

    train = splits.train, splits.asked_train, cell.tokens("train")
    val = splits.val, splits.asked_val, cell.tokens("val")
    return linear_probes(train, val, seed=seed, max_tokens=options.max_tokens)


if __name__ == "__main__":
    main()
