"""Floors: what a trained SAE must beat before any of its numbers says that it has learnt something.

A twin is the same architecture with the same budget on the same stream, of which a part does not learn
(Korznikov et al. 2026, arXiv 2602.14111), or which starts elsewhere: what differs between seeds is no finding
about the backbone (Gerasimov et al. 2026, arXiv 2606.12138). A dictionary has directions that no gradient
found, of which as many are active as of the SAE's.
"""

from collections.abc import Callable
from dataclasses import replace

from saev.sae.baselines import PCA, KMeans, Neurons, RandomDirections
from saev.sae.model import Architecture
from saev.sae.trained import Trained
from saev.training.fitting import Member


def _frozen(part: str) -> Callable[[str, Trained, int], Member]:
    return lambda name, of, seed: Member(name, replace(of, frozen=part), seed)


def _from_elsewhere(number: int) -> Callable[[str, Trained, int], Member]:
    return lambda name, of, seed: Member(name, of, (seed + number) % 2**32)


TWINS: dict[str, Callable[[str, Trained, int], Member]] = {
    "frozen-decoder": _frozen("decoder"),
    "frozen-encoder": _frozen("encoder"),
    "frozen-soft": _frozen("soft"),
    "seed-1": _from_elsewhere(1),
    "seed-2": _from_elsewhere(2),
}

DICTIONARIES: dict[str, Callable[[int, int, int], Architecture]] = {
    "random": lambda d_sae, d, k: RandomDirections(d_sae=d_sae, k=k),
    "neurons": lambda d_sae, d, k: Neurons(d_sae=2 * d, k=min(k, 2 * d)),
    "pca": lambda d_sae, d, k: PCA(d_sae=2 * d, k=min(k, 2 * d)),
    "kmeans": lambda d_sae, d, k: KMeans(d_sae=d_sae, k=k, n_sample=8 * d_sae),
}
"""From (latents of the SAE, width of the activations, active latents)."""

FLOORS = (*TWINS, *DICTIONARIES)


def floor(name: str, of: Trained, d: int, k: int, seed: int) -> Member:
    """The floor of this name for an SAE.

    Args:
        d: width of the activations.
        k: latents of the SAE that are active on a token, on average.
        seed: of the SAE.
    """
    if name in TWINS:
        return TWINS[name](name, of, seed)
    return Member(name, DICTIONARIES[name](of.d_sae, d, max(1, k)), seed)
