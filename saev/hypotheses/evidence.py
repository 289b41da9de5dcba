"""What each cluster adds to the measure of a hypothesis, under its edit and its controls."""

from collections.abc import Sequence

import numpy as np
import torch

from saev.data.sample import NO_CLUSTER
from saev.errors import SaevError
from saev.hypotheses.hypothesis import Hypothesis
from saev.hypotheses.verdict import Evidence
from saev.intervention.answering import answers_after
from saev.intervention.controls import DRAWN
from saev.intervention.counterfactual import Moved
from saev.intervention.experiment import Arm, change_of, trials
from saev.intervention.measures import MEASURES, Change, Sums
from saev.intervention.resampling import per_cluster
from saev.intervention.trial import Setup
from saev.intervention.twin_edits import TwinEditor

MEASURED = {
    "changed": ("target", "other"),
    "probability": ("target_probability", "other"),
    "logit": ("target_logit", "off_target_logit"),
}
"""Which of MEASURES a measure is of the target, and which one says what becomes of all else."""


def of_units(hypothesis: Hypothesis, setup: Setup, latents: Sequence[int], seed: int) -> Evidence:
    """From recorded images: what the edit does to the answers to the task.

    Raises:
        SaevError: the control is not to be had.
    """
    (trial,) = trials(setup, {hypothesis.concept: latents}, seed)
    common = {"edit": hypothesis.edit, "place": hypothesis.place, "images": len(setup.model)}
    draws = hypothesis.draws if hypothesis.control in DRAWN else 1
    arm = Arm(**common, strengths=(hypothesis.strength,))
    control = Arm(**common, strengths=(hypothesis.strength,), control=hypothesis.control, draws=draws)
    edits = [arm.applied(trial, hypothesis.strength)]
    edits += [control.applied(trial, hypothesis.strength, draw) for draw in range(draws)]
    there = [(edit, len(setup.model)) for edit in edits if edit is not None]
    if len(there) < len(edits):
        raise _absent(hypothesis)
    answers = answers_after(setup, there)
    changes = [change_of(trial, after_nuc) for after_nuc in answers]
    cluster_nu = _clusters(hypothesis, setup)
    target, others = MEASURED[hypothesis.measure]
    edit_g2, *controls = (_by_cluster(change, target, cluster_nu) for change in changes)
    return Evidence(edit_g2, np.stack(controls), _by_cluster(changes[0], others, cluster_nu))


def of_pairs(hypothesis: Hypothesis, editor: TwinEditor, latents: Sequence[int]) -> Evidence:
    """From scenes with the concept and without it: what the edit does, of what the image's change does.

    Raises:
        SaevError: the edit is not of the concept's region, or the control is not to be had.
    """
    if hypothesis.place != "class":
        raise SaevError(
            f"hypothesis.place of {hypothesis.name} must be class, the region that the image changes, "
            f"got {hypothesis.place!r}"
        )
    twins, chosen = editor.twins, {hypothesis.concept: tuple(latents)}
    like = editor.edit(chosen, hypothesis.strength, hypothesis.edit)
    controls = editor.control(hypothesis.control, like, hypothesis.draws)
    if not controls:
        raise _absent(hypothesis)
    image = twins.moved(twins.absent_mtc)
    edit, *drawn = (twins.moved(twins.after(change)) for change in (like.change_mtd, *controls))
    cluster_m = np.arange(len(twins)) if hypothesis.independent == "images" else np.array(twins.photograph_m)

    def sums(part_m: np.ndarray, whole_m: np.ndarray) -> np.ndarray:
        return per_cluster(np.stack([part_m, whole_m], 1), cluster_m)

    def share(of: Moved) -> np.ndarray:
        return sums(of.own_m, image.own_m)

    return Evidence(share(edit), np.stack([share(of) for of in drawn]), sums(edit.off_m, np.abs(image.own_m)))


def _absent(hypothesis: Hypothesis) -> SaevError:
    return SaevError(
        f"hypothesis.control of {hypothesis.name} must be one that there is for {hypothesis.concept}, "
        f"got {hypothesis.control!r}"
    )


def _clusters(hypothesis: Hypothesis, setup: Setup) -> np.ndarray:
    """(n, u) the cluster of each unit: of what the data know it to come from, else its image."""
    n, u = setup.before_buc.shape[:2]
    image_nu = np.broadcast_to(np.arange(n)[:, None], (n, u))
    cluster_nu = setup.tokens.store.cluster()[setup.model.images].astype(np.int64)
    if hypothesis.independent == "images" or cluster_nu.shape[1] not in (1, u):
        return image_nu
    return np.broadcast_to(np.where(cluster_nu == NO_CLUSTER, NO_CLUSTER + 1 + image_nu, cluster_nu), (n, u))


def _by_cluster(change: Change, measure: str, cluster_nu: np.ndarray) -> np.ndarray:
    """(g, 2) the sums of a measure over the units of each cluster."""
    rows = []
    for cluster in np.unique(cluster_nu):
        mine_nu = torch.from_numpy(cluster_nu == cluster)
        masks = (change.target_nu & mine_nu, change.other_nu & mine_nu)
        images = mine_nu.any(1)
        of = Change(change.before_nuc, change.after_nuc, change.target, *masks, change.truth_nu)
        sums: Sums = MEASURES[measure](of.of(images))
        rows.append([sums.part.sum(), sums.whole.sum()])
    return np.array(rows)
