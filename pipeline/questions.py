"""What is asked of the latents of a cell, and the records of the answers."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipeline.cell import Cell

if TYPE_CHECKING:  # torch is loaded by the stage alone
    import numpy as np

    from saev.features import Codes
    from saev.probing import Concepts, Match, Splits

MEANS = ("f1_train", "shuffled", "null_f1", "null_f1_95")


class Question(NamedTuple):
    """Concepts of the units of both splits."""

    train: "Concepts"
    val: "Concepts"
    units: Literal["patches", "tokens", "images"]
    """What they are true of."""

    def of(self, train: "Codes", val: "Codes") -> "Splits":
        """The question asked of these codes of tokens."""
        from saev.probing import Splits

        if self.units == "images":
            train, val = train.pooled("max"), val.pooled("max")
        return Splits(train, val, self.train, self.val)


def questions(cell: Cell, how: str, ignore: tuple[str, ...]) -> dict[str, Question]:
    """The classes and, where the source of the images describes some, the concepts.

    Args:
        how: `tokens` or `images`, what a class is true of; `auto`: tokens, where masks label patches.
        ignore: names of classes that are not asked for.
    """
    from saev.probing import classes_of_images, classes_of_tokens, described
    from saev.tasks.task import ignored_classes

    tokens = [cell.tokens(split) for split in ("train", "val")]
    store = tokens[0].store
    ignored = ignored_classes(ignore, store.classes, "task.ignore")
    units = "patches" if tokens[0].grid else "tokens"
    if how == "images" or (how == "auto" and store.labelled == "images" and tokens[0].per_image > 1):
        asked = {"classes": Question(*(classes_of_images(t.store, ignored) for t in tokens), units="images")}
    else:
        asked = {"classes": Question(*(classes_of_tokens(t, ignored) for t in tokens), units=units)}
    train, val = (described(t.store, t) for t in tokens)
    if train is not None and val is not None:
        asked["concepts"] = Question(train, val, "images" if store.attrs["described"] == "images" else units)
    return asked


def headline(question: Question, matches: "Sequence[Match]", scores: tuple[str, ...], seed: int) -> dict:
    """The means over the concepts whose latents beat their null, None where none does; how many do; and the
    mean F1 of all, which comparisons are of, since others claim other concepts."""
    from saev.probing import mean_f1

    claimed = [match for match in matches if match.claimed]
    f1, every = mean_f1(claimed, seed), mean_f1(matches, seed)
    means = {
        key: fmean(match.scores[key] for match in claimed) if claimed else None for key in (*MEANS, *scores)
    }
    return {
        "units": question.units if matches else None,
        "concepts": len(matches),
        "claimed": len(claimed),
        "f1": f1.value,
        "low": f1.low,
        "high": f1.high,
        "all_f1": every.value,
        "all_low": every.low,
        "all_high": every.high,
        **means,
    }


def teller(cell: Cell) -> Callable[[int], dict]:
    """Of the number of a latent what is known of it whatever it means: its profile, and how well other seeds
    know it."""
    from saev.evaluation import measure_stability

    profile, seeds = cell.profile, [cell.floors[name] for name in cell.seeds]
    known = measure_stability(cell.sae, seeds).cosine_s if seeds else None
    return lambda s: {**profile.row(s), "stability": None if known is None else float(known[s])}


def of_floors(cell: Cell) -> "Iterator[tuple[str, list[Codes]]]":
    """Each floor with its codes of both splits."""
    from saev.features import encode

    for floor, sae in cell.floors.items():
        where = f"{cell.cfg.floors_dir}/{floor}"
        yield floor, [encode(sae, cell.tokens(split), what=where) for split in ("train", "val")]


def against_floor(
    splits: "Splits", found: "Sequence[Match]", seed: int, among: "np.ndarray | None" = None
) -> dict:
    """What a floor reaches, by the same choice on the same units, and how much more the SAE does."""
    from saev.probing import difference, match_concepts, mean_f1

    theirs = match_concepts(splits, (), times=0, seed=seed, among=among)
    gain, f1 = difference(found, theirs, seed), mean_f1(theirs, seed).value
    of_concept = {
        "f1_of": {match.name: match.scores["f1"] for match in theirs},
        "latent_of": {match.name: match.latent for match in theirs},
    }
    return {"f1": f1, "gain": gain.value, "low": gain.low, "high": gain.high, **of_concept}
