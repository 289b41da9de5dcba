"""The test of one hypothesis on its cell of the study."""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pipeline.cell import Cell
from pipeline.edited import asked, directions, known_of, scenes_of, task_of
from saev.errors import SaevError

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.hypotheses import Evidence, Hypothesis
    from saev.intervention.counterfactual import Twins


def evidence_of(cell: Cell, of: "Hypothesis", seed: int) -> "Evidence":
    """What an edit as the hypothesis has it does.

    Raises:
        Untestable: there is nothing to test it on.
        SaevError: its file asks for what there is not; what it is tested on is missing or damaged.
    """
    from saev.hypotheses import Untestable

    if not cell.tokens("val").of_model:
        raise Untestable("the SAE reads mean patch tokens, which the model has no such token of to edit")
    task_of(cell, of.task)
    latents = selected(cell, of, seed)
    return (_on_pairs if of.measure == "reproduced" else _on_recorded)(cell, of, latents, seed)


def selected(cell: Cell, of: "Hypothesis", seed: int) -> tuple[int, ...]:
    """The latents that the hypothesis names, or that its selector chooses."""
    from saev.hypotheses import Untestable
    from saev.intervention import SELECTORS
    from saev.probing import load_matches

    if of.latents is not None:
        return of.latents
    found = load_matches(f"{cell.cfg.matches}/matches.safetensors").get(of.task, [])
    matches = {match.name: match.latent for match in found if match.name == of.concept}
    known = known_of(cell, asked(cell, of.task), matches, of.images, seed, task_of(cell, of.task))
    chosen = dict(SELECTORS[of.selector or "listed"](known))
    if not chosen.get(of.concept):
        raise Untestable(f"no latent was chosen for {of.concept}")
    return chosen[of.concept]


def _on_recorded(cell: Cell, of: "Hypothesis", latents: tuple[int, ...], seed: int) -> "Evidence":
    from saev.hypotheses.evidence import of_units
    from saev.intervention import Setup

    if of.split != "val":
        raise SaevError(
            f"hypothesis.measure of {of.name} must be reproduced on the sealed split, which is not recorded, "
            f"got {of.measure!r}"
        )
    model = cell.opened(of.images, seed, task_of(cell, of.task))
    codes = cell.codes("train"), cell.codes("val")
    along = directions(cell, asked(cell, of.task), seed)
    return of_units(of, Setup(cell.sae, model, cell.tokens("val"), *codes, along), latents, seed)


def _on_pairs(cell: Cell, of: "Hypothesis", latents: tuple[int, ...], seed: int) -> "Evidence":
    from saev.hypotheses import Untestable
    from saev.hypotheses.evidence import of_pairs
    from saev.intervention.twin_edits import TwinEditor

    if of.task != "concepts":
        raise Untestable("only concepts of the embedded data can be taken out of an image")
    along = directions(cell, asked(cell, of.task), seed)
    twins = _seen(cell, of.concept, of.split, of.images)
    return of_pairs(of, TwinEditor(cell.sae, twins, cell.codes("train"), along), latents)


@lru_cache(maxsize=1)  # the hypotheses on a concept come one after the other
def _seen(cell: Cell, concept: str, split: Literal["val", "sealed"], n: int) -> "Twins":
    """n pairs of scenes of a split, as many as were made for it or not, with the concept and without it."""
    from saev.data import Mosaic
    from saev.data.attributes import ATTRIBUTES
    from saev.hypotheses import Untestable
    from saev.intervention.counterfactual import see_twins
    from saev.probing.pairs import first_pairs

    images = scenes_of(cell, "val")
    scenes = Mosaic(split=split, n=n * len(ATTRIBUTES), size=images.size, seed=images.seed)
    pairs = first_pairs(scenes, n, [concept])
    if not pairs:
        raise Untestable(f"nothing that an image could be made without is called {concept}")
    return see_twins(pairs, cell.backbone, task_of(cell, "concepts"), cell.tokens("val").layer, cell.machine)
