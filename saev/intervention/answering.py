"""What the model answers after many edits of the same images, which share the passes through its rest."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from saev.intervention.edits import Edit
from saev.intervention.trial import Setup
from saev.tasks.continuation import BATCH


class Row(NamedTuple):
    """An image that an edit touches."""

    after_nuc: Tensor
    """Where its logits go."""
    edit: Edit
    image: int


def answers_after(setup: Setup, edits: Iterable[tuple[Edit, int]]) -> Iterator[Tensor]:
    """Yield (n, u, c) the logits after each edit, in the order of the edits, each with its n: how many of the
    images of `setup.model`, the first ones, are asked.

    Only the images that an edit touches are run again. An edit and its controls fill the same batches, so
    that none of few places has a pass of its own. Each is asked for when there is room for it, and dropped
    when it is done: memory does not grow with their number.
    """
    before_nuc = setup.before_buc
    waiting: list[Row] = []
    unfinished: deque[Tensor] = deque()
    for edit, n in edits:
        after_nuc = before_nuc[:n].clone()
        touched = (edit.amounts_btk[:n] != 0).flatten(1).any(1).nonzero().flatten().tolist()
        unfinished.append(after_nuc)
        waiting += [Row(after_nuc, edit, image) for image in touched]
        while len(waiting) >= BATCH:
            _run(setup, waiting[:BATCH])
            del waiting[:BATCH]
        while unfinished and not (waiting and unfinished[0] is waiting[0].after_nuc):
            yield unfinished.popleft()
    if waiting:
        _run(setup, waiting)
    yield from unfinished


def _run(setup: Setup, rows: list[Row]) -> None:
    change_btd = torch.cat([row.edit.change(slice(row.image, row.image + 1)) for row in rows])
    logits_buc = setup.model.logits(torch.tensor([row.image for row in rows]), setup.whole(change_btd))
    for row, logits_uc in zip(rows, logits_buc, strict=True):
        row.after_nuc[row.image] = logits_uc
