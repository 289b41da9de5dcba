"""How few latents tell a concept: sparse probes of SAE and floors, and dense ones of the activations."""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from pipeline.cell import Cell
from pipeline.questions import Question

if TYPE_CHECKING:  # sklearn is loaded by the stage alone
    from saev.features import Codes
    from saev.probing import SparseProbe

SAE, DENSE = "sae", "activations"
"""What the probes of a record read, beside the floors by their names."""


def sparse_records(
    cell: Cell, question: Question, read: dict[str, "list[Codes]"], ks: tuple[int, ...], draws: dict[str, int]
) -> list[dict]:
    """Of each dictionary, and of the activations, what probes of k features reach on the mean concept, and
    how much more those of as many of the SAE's latents do.

    Args:
        read: codes of both splits, of SAE and of its floors.
        draws: seed and max_units.
    """
    from saev.probing import dense_probes, sparse_probes

    found = {name: sparse_probes(question.of(*codes), ks, **draws) for name, codes in read.items()}
    train, val, *asked = question.of(*read[SAE])
    found[DENSE] = dense_probes(
        (train, asked[0], cell.tokens("train")), (val, asked[1], cell.tokens("val")), **draws
    )
    return [
        {
            **{"read": name, "k": None if name == DENSE else k},
            **_mean(of_k, found[SAE] if name != SAE else [], draws["seed"]),
        }
        for name, probes in found.items()
        for k, of_k in _by_k(probes).items()
    ]


def _by_k(probes: "Sequence[SparseProbe]") -> "dict[int, list[SparseProbe]]":
    return {k: [one for one in probes if one.k == k] for k in dict.fromkeys(one.k for one in probes)}


def _mean(probes: "Sequence[SparseProbe]", mine: "Sequence[SparseProbe]", seed: int) -> dict:
    """Over the concepts; `mine` are the SAE's, of which those of as many latents, or of the most that were
    tried, are held against them."""
    from saev.probing import difference, mean_f1

    by_k = _by_k(mine)
    own = by_k.get(probes[0].k) or by_k.get(max(by_k, default=0), [])
    f1, gain = mean_f1(probes, seed), difference(own, probes, seed)
    aurocs = [one.scores["auroc"] for one in probes if one.scores["auroc"] is not None]
    return {
        "concepts": len(probes),
        "f1": f1.value,
        "low": f1.low,
        "high": f1.high,
        "auroc": fmean(aurocs) if aurocs else None,
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
    }
