"""features -> meanings: which latent stands for which concept, against random latents and linear probes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.pictures import exemplars, seen
from pipeline.questions import against_floors, headline, questions, rows
from pipeline.stage import read, stage
from saev.checks import Options, between, check_choice, check_seed

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.features import Codes
    from saev.probing import Splits

METRICS = {"classes": "metrics.json", "concepts": "described.json"}
PICTURES = {"classes": "f1.png", "concepts": "concepts.png"}
RESULTS = {
    r"metrics\.json": '"null_f1_95"',
    r"(described|classes|concepts|floors|latents)\.json": None,
    r"(f1|concepts|exemplars-\d+)\.png": None,
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
    permutations: Annotated[int, between(19, 10**6)]

    def __post_init__(self):
        from saev.probing.match import SCORES

        super().__post_init__()
        for name in self.scores:
            check_choice("probe.scores", name, tuple(SCORES))


@stage("probe")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.probing import match_concepts
    from saev.report import exemplar_pages, f1_bars, save, save_pages
    from saev.tasks import TaskOptions

    cell, options, seed = Cell(cfg), read(Probing, cfg.probe), check_seed(cfg.seed)
    picture, results = seen(cell, "val"), cell.results("probe")
    asked = questions(cell, options.units, read(TaskOptions, cfg.task).ignore)
    codes, told = [cell.codes(split) for split in ("train", "val")], []
    with new_directory(results, RESULTS) as out:
        found = {
            name: match_concepts(question.of(*codes), options.scores, times=options.permutations, seed=seed)
            for name, question in asked.items()
        }
        for name, file in METRICS.items():
            matches, metrics = found.get(name, []), None
            if name in asked:
                metrics = headline(asked[name], matches, options.scores, seed)
                metrics["linear_probe"] = linear_probe(cell, asked[name].of(*codes), options, seed)
            told += [f"{metrics['claimed']} of {len(matches)} {name} beat their null"] if matches else []
            write_json(out / file, metrics)
            write_json(out / f"{name}.json", shown := rows(cell, matches))
            if shown:
                save(f1_bars(shown, name), out / PICTURES[name])
        write_json(out / "floors.json", against_floors(cell, asked, found, seed))
        write_json(out / "latents.json", strongest := strongest_of(codes[1], options.strongest))
        named = [match.row() for matches in found.values() for match in matches]
        exemplified = list(exemplars(cell, picture, named or strongest, options.exemplars))
        save_pages(exemplar_pages(exemplified), out, "exemplars")
    say(f"probe: {' and '.join(told) or 'no concept is labelled in both splits'}; in {results}")


def strongest_of(codes: "Codes", k: int) -> list[dict]:
    """Records of the latents with the largest codes."""
    from saev.features import strongest_latents

    return [
        {"latent": int(s), "maximum": float(codes.maximum[s]), "density": float(codes.density[s])}
        for s in strongest_latents(codes, k)
    ]


def linear_probe(cell: Cell, splits: "Splits", options: Probing, seed: int) -> dict | None:
    """What linear classifiers make of activations and of codes."""
    from saev.probing import linear_probes

    train = splits.train, splits.asked_train, cell.tokens("train")
    val = splits.val, splits.asked_val, cell.tokens("val")
    return linear_probes(train, val, seed=seed, max_tokens=options.max_tokens)


if __name__ == "__main__":
    main()
