"""From what is known of a concept to the latents that are edited for it. Only training data choose."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from saev.errors import SaevError
from saev.features import Codes

if TYPE_CHECKING:  # which takes a second to load
    from saev.probing import Splits

T = TypeVar("T")


class Selected(NamedTuple):
    """A concept and the latents that stand for it."""

    name: str
    latents: tuple[int, ...]


class Known(NamedTuple):
    """What may be known of the concepts; each selector reads its part."""

    matches: Mapping[str, int] = {}
    """The concepts that are selected for, and the latent that probing chose for each."""
    splits: "Splits | None" = None
    """The codes of the units that the concepts are of, which they show."""
    attributed: Callable[[str], np.ndarray | None] | None = None
    """(s,) how much each latent adds to the logit of a class; None where no image shows it
    (saev.intervention.attribution)."""
    listed: Mapping[str, tuple[int, ...]] = {}
    """What somebody wants to be edited."""
    size: int = 4
    """Latents of a set, at most."""
    seed: int = 0


def _needed(part: T | None, name: str) -> T:
    """A part of Known that a selector reads. Raises SaevError if it is not there."""
    if part is None:
        raise SaevError(f"Known has no {name}, which this selector chooses by")
    return part


def _best_f1(known: Known) -> list[Selected]:
    return [Selected(name, (latent,)) for name, latent in known.matches.items()]


def _best_ap(known: Known) -> list[Selected]:
    from saev.probing import rank

    splits = _needed(known.splits, "splits")
    codes, asked = splits.train, splits.asked_train
    # Not a number where all units show a concept, or none: nothing ranks these.
    ap_cs = np.where(codes.density > 0, np.nan_to_num(rank(codes, asked).ap_cs, nan=-1), -1)
    of = dict(zip(asked.names, ap_cs, strict=True))
    return [Selected(name, (int(of[name].argmax()),)) for name in known.matches if of[name].max() > 0]


def _k_sparse(known: Known) -> list[Selected]:
    from saev.probing.few import ranked
    from saev.probing.penalised import Units

    splits, selected = _needed(known.splits, "splits"), []
    codes, asked = splits.train, splits.asked_train
    csc = codes.csr.tocsc()
    for name in known.matches:
        units, shown = asked.of(asked.names.index(name))
        order = ranked(csc, Units(units, shown, asked.cluster[units], np.zeros(len(units))))
        # Of a latent that tells that the concept is absent, an edit in the same direction does the opposite.
        for_it = [s for s in order[: known.size].tolist() if _gap(codes.column(s)[units], shown) > 0]
        selected.append(Selected(name, tuple(for_it)))
    return [one for one in selected if one.latents]


def _coalition(known: Known) -> list[Selected]:
    from saev.probing import coalitions

    splits = _needed(known.splits, "splits")
    grown = {found.name: found for found in coalitions(splits, known.size, seed=known.seed)}
    return [
        Selected(name, tuple(latent for latent, _ in grown[name].members))
        for name in known.matches
        if name in grown
    ]


def _attribution(known: Known) -> list[Selected]:
    attributed, selected = _needed(known.attributed, "attributed"), []
    for name in known.matches:
        score_s = attributed(name)
        if score_s is not None and (score_s > 0).any():
            selected.append(Selected(name, _largest(score_s, known.size)))
    return selected


def _strongest(known: Known) -> list[Selected]:
    splits, selected = _needed(known.splits, "splits"), []
    codes, asked = splits.train, splits.asked_train
    for name in known.matches:
        units, shown = asked.of(asked.names.index(name))
        latents = strongest_on(codes, units[shown], units[~shown], known.size)
        selected += [Selected(name, latents)] if latents else []
    return selected


def _listed(known: Known) -> list[Selected]:
    return [Selected(name, tuple(latents)) for name, latents in known.listed.items()]


SELECTORS: dict[str, Callable[[Known], list[Selected]]] = {
    "best f1": _best_f1,
    "best ap": _best_ap,
    "k-sparse": _k_sparse,
    "coalition": _coalition,
    "attribution": _attribution,
    "strongest": _strongest,
    "listed": _listed,
}
"""The latents of every concept; a concept of which there are none is left out.

best f1      the latent of its match
best ap      the live latent with the largest average precision
k-sparse     those that a sparse probe reads, without those that tell that the concept is absent
coalition    those that detect it together
attribution  those that add most to its logit (gradient x activation)
strongest    those with the largest mean code on its units minus elsewhere
listed       those that are given
"""


def strongest_on(codes: Codes, here: np.ndarray, elsewhere: np.ndarray, n: int) -> tuple[int, ...]:
    """At most n latents, by their mean code on some units minus that on others; only those that are stronger
    here."""
    here_s, elsewhere_s = (codes.csr[units].sum(0) / max(len(units), 1) for units in (here, elsewhere))
    return _largest(here_s - elsewhere_s, n)


def _largest(score_s: np.ndarray, n: int) -> tuple[int, ...]:
    """The latents with the largest scores above 0; of equal ones the first."""
    order = np.argsort(-score_s, kind="stable")[:n]
    return tuple(order[score_s[order] > 0].tolist())


def _gap(code_n: np.ndarray, shown_n: np.ndarray) -> float:
    return code_n[shown_n].mean() - code_n[~shown_n].mean()
