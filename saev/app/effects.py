"""What an edit did, told with its side effects first."""

import numpy as np
import torch
from torch import Tensor

from saev.app.bench import Asked, Bench
from saev.app.changing import Answer
from saev.data.sample import IGNORE
from saev.tasks import Task


def effects(bench: Bench, subject: Asked, answer: Answer, target: int | None) -> list[dict]:
    """One record for each arm, see `effect`."""
    touched_au = [
        units_touched(bench, subject.model.task, touched_t) for touched_t in answer.touched_at.numpy()
    ]
    return [
        {"arm": arm, **effect(subject, logits_uc, touched_u, target)}
        for arm, logits_uc, touched_u in zip(answer.arms, answer.logits_auc, touched_au, strict=True)
    ]


def units_touched(bench: Bench, task: Task, touched_t: np.ndarray) -> np.ndarray:
    """(u,) bool: which units of the task are themselves edited: patches; an image as a whole is never only
    a bystander."""
    if not task.decides_patches:
        return np.array([bool(touched_t.any())])
    rows = bench.row_of_patch
    return np.where(rows >= 0, touched_t[rows], False)


def effect(subject: Asked, after_uc: Tensor, touched_u: np.ndarray, target: int | None) -> dict:
    """Counts of units whose answer changed, and how far probabilities moved.

        moved = mean over units of 1/2 sum_c |p_c - p'_c|, the total variation

    `beyond` is of the units that were not edited themselves: what an edit does there it does through
    attention. `other` and `target` are of the units whose true class (where nobody knows it: the predicted
    one) is not, and is, the target. A pair is (changed, of how many).
    """
    before_uc = subject.before_uc
    before_u, after_u = before_uc.argmax(-1).numpy(), after_uc.argmax(-1).numpy()
    changed_u = before_u != after_u
    moved_u = 0.5 * (before_uc.softmax(-1) - after_uc.softmax(-1)).abs().sum(-1).numpy()
    told = {
        "edited": _share(changed_u, touched_u),
        "beyond": _share(changed_u, ~touched_u),
        "moved_edited": _mean(moved_u, touched_u),
        "moved_beyond": _mean(moved_u, ~touched_u),
        "other": None,
        "target": None,
    }
    if target is not None:
        truth_u = before_u if subject.truth_u is None else subject.truth_u
        told["target"] = _share(changed_u, truth_u == target)
        told["other"] = _share(changed_u, (truth_u != target) & (truth_u != IGNORE))
    return told


def probabilities(logits_auc: Tensor) -> np.ndarray:
    """(a, c) float16, the mean over units."""
    return logits_auc.softmax(-1).mean(1).to(torch.float16).numpy()


def labels(logits_auc: Tensor, n_classes: int) -> np.ndarray:
    """(a, u) the class of each unit, in as few bytes as there are classes for."""
    return logits_auc.argmax(-1).numpy().astype(np.uint8 if n_classes <= 256 else np.uint16)


def _share(changed_u: np.ndarray, of_u: np.ndarray) -> tuple[int, int]:
    return int((changed_u & of_u).sum()), int(of_u.sum())


def _mean(moved_u: np.ndarray, of_u: np.ndarray) -> float | None:
    return float(moved_u[of_u].mean()) if of_u.any() else None
