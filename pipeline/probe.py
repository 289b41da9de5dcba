"""features -> meanings: which latent stands for which concept, against random latents and linear probes."""

from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Literal

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.pictures import exemplars, seen
from pipeline.stage import read, stage
from saev.checks import Options, between, check_choice, check_seed

MEANS = ("f1", "f1_train", "null_f1", "null_f1_95")
RESULTS = {
    r"metrics\.json": '"null_f1_95"',
    r"(classes|latents)\.json": None,
    r"(f1|exemplars-\d+)\.png": None,
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

    def __post_init__(self):
        from saev.probing.match import SCORES

        super().__post_init__()
        for name in self.scores:
            check_choice("probe.scores", name, tuple(SCORES))


@stage("probe")
def main(cfg: DictConfig) -> None:
    from saev.features import strongest_latents
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.probing import linear_probes, match_concepts
    from saev.report import exemplar_pages, f1_bars, save, save_pages
    from saev.tasks import TaskOptions

    cell, options, seed = Cell(cfg), read(Probing, cfg.probe), check_seed(cfg.seed)
    picture = seen(cell, "val")
    splits, units = asked(cell, options, read(TaskOptions, cfg.task).ignore)
    (train, asked_train, _), (val, asked_val, _) = splits
    with new_directory(cell.results("probe"), RESULTS) as out:
        matches = match_concepts(train, val, asked_train, asked_val, options.scores)
        rows = [match.row() for match in matches]
        linear = linear_probes(*splits, seed=seed, max_tokens=options.max_tokens) if matches else None
        means = {key: fmean(row[key] for row in rows) if rows else None for key in (*MEANS, *options.scores)}
        above = fmean(row["f1"] > row["null_f1_95"] for row in rows) if rows else None
        metrics = {"units": units if rows else None, "concepts": len(rows), **means, "above_null": above}
        val = cell.codes("val")
        strongest = [
            {"latent": int(s), "maximum": float(val.maximum[s]), "density": float(val.density[s])}
            for s in strongest_latents(val, options.strongest)
        ]
        write_json(out / "metrics.json", {**metrics, "linear_probe": linear})
        write_json(out / "classes.json", rows)
        write_json(out / "latents.json", strongest)
        if rows:
            save(f1_bars(rows), out / "f1.png")
        shown = list(exemplars(cell, picture, rows or strongest, options.exemplars))
        save_pages(exemplar_pages(shown), out, "exemplars")
    found = (
        f"F1 {means['f1']:.2f} over {len(rows)} concepts" if rows else "no concept is labelled in both splits"
    )
    say(f"probe: {found}; in {cell.results('probe')}")


def asked(cell: Cell, options: Probing, ignore: tuple[str, ...]) -> tuple[list[tuple], str]:
    """(codes, concepts, tokens) of both splits, and what the concepts are true of."""
    from saev.probing import classes_of_images, classes_of_tokens
    from saev.tasks.task import ignored_classes

    tokens = [cell.tokens(split) for split in ("train", "val")]
    codes = [cell.codes(split) for split in ("train", "val")]
    store = tokens[0].store
    ignored = ignored_classes(ignore, store.classes, "task.ignore")
    by_image = store.labelled == "images" and tokens[0].per_image > 1
    if options.units == "images" or (options.units == "auto" and by_image):
        codes = [c.pooled("max") for c in codes]
        concepts, units = [classes_of_images(t.store, ignored) for t in tokens], "images"
    else:
        concepts = [classes_of_tokens(t, ignored) for t in tokens]
        units = "patches" if tokens[0].grid else "tokens"
    return list(zip(codes, concepts, tokens, strict=True)), units


if __name__ == "__main__":
    main()
