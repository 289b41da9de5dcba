"""Editing features of one image, with the control always beside the edit: all in one pass of the suffix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from saev.app.bench import Asked, Bench, Subject
from saev.checks import Options, between, check_choice
from saev.errors import SaevError
from saev.intervention.controls import push_along, random_direction, similar_latents
from saev.intervention.edits import EDITS, Edit, edit_latents

MOST = 16
"""Features that are edited together."""
CONTROLS = ("random latent", "random direction")
"""Of saev.intervention: for each feature a live one that fires about as often, edited in the same way; and a
random direction, pushed as far as the edit goes on each token."""

Where = Callable[[Bench, "Change"], Tensor]


def _tokens(bench: Bench, kind: str) -> Tensor:
    first, last = bench.tokens.store.spans.get(kind, (0, 0))
    positions = torch.from_numpy(bench.tokens.positions)
    return (first <= positions) & (positions < last)


def _selected(bench: Bench, change: "Change") -> Tensor:
    mask_t = torch.zeros(bench.tokens.per_image, dtype=torch.bool)
    rows = bench.row_of_patch[list(change.patches)]
    mask_t[rows[rows >= 0]] = True
    return mask_t


PLACES: dict[str, Where] = {
    "selected": _selected,
    "active": lambda bench, change: torch.ones(bench.tokens.per_image, dtype=torch.bool),
    "all": lambda bench, change: torch.ones(bench.tokens.per_image, dtype=torch.bool),
    "cls": lambda bench, change: _tokens(bench, "cls"),
}
"""Of the tokens that the SAE reads: the selected patches; those where the edited feature itself fires (the
control's where the control fires); all; the cls token. As a mask (t,)."""


@dataclass(frozen=True, kw_only=True)
class Change(Options, section="edit"):
    """What is edited, how strongly, and where."""

    latents: tuple[Annotated[int, between(0, 10**9)], ...]
    strengths: tuple[Annotated[float, between(-10, 10)], ...]
    """One of each latent: times its largest training code, or, of the kind `scale`, times its code."""
    kind: str = "set"
    """One of EDITS."""
    place: str = "all"
    """One of PLACES."""
    patches: tuple[Annotated[int, between(0, 10**6)], ...] = ()
    """The selected ones."""
    controls: tuple[str, ...] = CONTROLS
    """At least one of CONTROLS: an edit is never shown without."""
    seed: Annotated[int, between(0, 2**32 - 1)] = 0
    """Of the controls."""
    target: Annotated[int, between(0, 10**6)] | None = None
    """The class that is to change; side effects are told of all others."""

    def __post_init__(self):
        super().__post_init__()
        check_choice("edit.kind", self.kind, tuple(EDITS))
        check_choice("edit.place", self.place, tuple(PLACES))
        if not self.controls:
            raise SaevError(f"edit.controls must name one of {', '.join(CONTROLS)} at least, got []")
        for control in self.controls:
            check_choice("edit.controls", control, CONTROLS)
        if not 1 <= len(self.latents) <= MOST or len(set(self.latents)) < len(self.latents):
            raise SaevError(f"edit.latents must be 1 to {MOST} different ones, got {len(self.latents)}")
        if len(self.strengths) != len(self.latents):
            raise SaevError(
                f"edit.strengths must be one of each latent, got {len(self.strengths)} of {len(self.latents)}"
            )
        object.__setattr__(self, "strengths", tuple(map(float, self.strengths)))  # JSON's 0 is an int

    def check(self, bench: Bench) -> None:
        """Raise SaevError for what this cell has not."""
        if bench.task is None or bench.unable:
            raise SaevError(f"nothing can be edited here: {bench.unable}")
        for latent in self.latents:
            bench.check_latent(latent)
        if self.patches and max(self.patches) >= bench.n_patches:
            raise SaevError(f"edit.patches must be below {bench.n_patches}, got {max(self.patches)}")
        if self.target is not None and self.target >= len(bench.task.classes):
            raise SaevError(f"edit.target must be below {len(bench.task.classes)}, got {self.target}")
        if not PLACES[self.place](bench, self).any():
            what = {"selected": "select patches first", "cls": "choose another place"}[self.place]
            raise SaevError(f"edit.place {self.place!r} holds no token that the SAE reads; {what}")


class Answer(NamedTuple):
    """What the model says after an edit, and after each control of it."""

    arms: tuple[str, ...]
    """`edit`, then the controls."""
    logits_auc: Tensor
    touched_at: Tensor
    """Which of the tokens that the SAE reads each arm changes."""
    similar: list[int]
    """The control's latents."""


def answer(bench: Bench, subject: Asked, change: Change) -> Answer:
    """Edit, and do the same with controls. Raises SaevError for what this cell has not."""
    change.check(bench)
    edits, similar = edits_of(bench, subject, change)
    change_atd = torch.cat([edit.change() for edit in edits.values()])
    model = subject.model
    whole_atd = torch.zeros(len(edits), *model.x_btd.shape[1:])
    whole_atd[:, torch.from_numpy(bench.tokens.positions)] = change_atd
    logits_auc = model.logits(torch.zeros(len(edits), dtype=torch.long), whole_atd)
    return Answer(("edit", *change.controls), logits_auc, (change_atd != 0).any(-1), similar)


def edits_of(bench: Bench, subject: Subject, change: Change) -> tuple[dict[str, Edit], list[int]]:
    """The edit and its controls, each in its place, and the control's latents."""
    chosen = _edit(bench, subject, change, list(change.latents))
    similar = controls_of(bench, list(change.latents), change.seed)
    made = {"edit": chosen}
    for control in change.controls:
        if control == "random latent":
            made[control] = _edit(bench, subject, change, similar)
        else:
            made[control] = push_along(random_direction(bench.sae.d, change.seed), chosen)
    return made, similar


def controls_of(bench: Bench, latents: list[int], seed: int) -> list[int]:
    """The latents of the control. Raises SaevError where there are none."""
    sets = similar_latents(latents, bench.profile.density_s, seed)
    if not sets:
        raise SaevError(
            "edit.latents must be some that fire in training, with others that fire about as often, "
            f"got {', '.join(map(str, latents))}"
        )
    return list(sets[0])


def _edit(bench: Bench, subject: Subject, change: Change, latents: list[int]) -> Edit:
    f_btk = torch.from_numpy(subject.codes[:, latents].toarray())[None]
    maximum_k = torch.from_numpy(bench.profile.maximum_s[latents])
    new_btk = torch.cat(
        [
            EDITS[change.kind](f_btk[..., [k]], strength, maximum_k[[k]])
            for k, strength in enumerate(change.strengths)
        ],
        -1,
    )
    edit = edit_latents(bench.sae, latents, f_btk, new_btk)
    if change.place == "active":
        edit = edit._replace(amounts_btk=edit.amounts_btk * (f_btk > 0))
    return edit.where(PLACES[change.place](bench, change)[None])
