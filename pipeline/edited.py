"""What is edited: the model cut open with what controls need, and the latents chosen for each class or
concept."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from pipeline.cell import Cell
from pipeline.questions import questions
from saev.errors import SaevError
from saev.files import read_json

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.data import Mosaic
    from saev.intervention import Arm, Directions, Known, Rival, Setup
    from saev.intervention.trial import Trial
    from saev.probing import Splits
    from saev.tasks import Task


def task_of(cell: Cell, of: str) -> "Task":
    """That of the `classes`, or of the `concepts`. Raises Untestable if there is none."""
    from saev.hypotheses import Untestable

    task = cell.task if of == "classes" else cell.concept_task
    if task is None:
        raise Untestable(f"there is no task of {of}: the images have no such labels")
    return task


def scenes_of(cell: Cell, split: str) -> "Mosaic":
    """The images of a split. Raises Untestable if they are no scenes, which can be made anew."""
    from saev.data import Mosaic
    from saev.hypotheses import Untestable

    images = cell.images(split)
    if not isinstance(images, Mosaic):
        raise Untestable("only concepts of the embedded data can be taken out of an image")
    return images


@cache
def asked(cell: Cell, of: str) -> "Splits":
    """The classes, or the concepts, as probing asks for them by default, of the cell's codes."""
    ignored = tuple(cell.task.classes[c] for c in cell.task.ignored) if cell.task else ()
    return questions(cell, "auto", ignored)[of].of(cell.codes("train"), cell.codes("val"))


def directions(cell: Cell, splits: "Splits", seed: int) -> "Directions":
    """Of what the splits are asked, in training."""
    from saev.intervention import Directions

    return Directions((splits.train, splits.asked_train, cell.tokens("train")), seed)


def opened(cell: Cell, splits: "Splits", arms: "Iterable[Arm]", images: int, seed: int) -> "Setup":
    """The model on so many validation images."""
    from saev.intervention import Setup

    return Setup(
        cell.sae,
        cell.opened(images, seed, task_of(cell, "classes")),
        cell.tokens("val"),
        cell.codes("train"),
        cell.codes("val"),
        directions(cell, splits, seed),
        rivals(cell, {arm.control for arm in arms}),
    )


def rivals(cell: Cell, controls: set[str | None]) -> "dict[str, Rival]":
    """The floors that controls ask for, with the latent that probing chose of each for each class."""
    from saev.intervention import Rival
    from saev.intervention.controls import DRAWN

    file = cell.results("probe") / "floors.json"
    try:
        latents = {row["floor"]: row["latent_of"] for row in read_json(file) if row["of"] == "classes"}
    except (KeyError, TypeError):
        raise SaevError(
            f"{file}: does not say which latents the floors have; run the probe stage again"
        ) from None
    wanted = [name for name in latents if f"{name} latent" in controls.difference(DRAWN)]
    return {name: Rival(cell.floors[name], latents[name]) for name in wanted if name in cell.floors}


def known_of(
    cell: Cell, splits: "Splits", latents: dict[str, int], images: int, seed: int, task: "Task | None" = None
) -> "Known":
    """What latents are selected by: those that probing chose, the codes, and how much each adds to the logits
    of a task, on so many training images."""
    from saev.intervention import Known, Setup, mean_attribution

    def attributed(name: str):
        tokens, codes = cell.tokens("train"), cell.codes("train")
        model = cell.opened(images, seed, task or task_of(cell, "classes"), "train")
        setup = Setup(cell.sae, model, tokens, codes, codes)
        return mean_attribution(setup, setup.model.task.classes.index(name))

    return Known(latents, splits, attributed, seed=seed)


def chosen(setup: "Setup", known: "Known", selectors: Iterable[str], seed: int) -> "dict[str, list[Trial]]":
    """For each selector the trials of the latents that it chooses."""
    from saev.intervention import SELECTORS, trials

    return {name: trials(setup, dict(SELECTORS[name](known)), seed) for name in dict.fromkeys(selectors)}
