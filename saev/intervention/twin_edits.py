"""The edits that are held against a change of the image, and what they are themselves held against."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from saev.checks import Options, between, check_number
from saev.errors import SaevError
from saev.features import Codes
from saev.intervention.controls import CHOSEN, random_direction, similar_latents
from saev.intervention.counterfactual import Twins
from saev.intervention.directions import DIRECTIONS, Directions
from saev.intervention.edits import EDITS
from saev.sae.model import SAE

QUOTED = ("difference of means", "probe direction")
"""The directions that are run by default, the reference to beat first."""
CALIBRATED = f"{CHOSEN}, calibrated"
FARTHEST = 4.0
"""By which an edit is lengthened at most: beyond, that the logit follows is no more than a guess."""
Latents = Mapping[str, Sequence[int]]
"""Those of each attribute."""


@dataclass(frozen=True, kw_only=True)
class TwinOptions(Options, section="counterfactual"):
    """Which edits, on how many scenes."""

    pairs: Annotated[int, between(1, 1000)]
    """For each attribute."""
    strengths: tuple[float, ...]
    """Of the chosen latents' edits, times their largest training codes; 0 ablates. Controls are matched to
    the first, which is the one that claims are made of."""
    draws: Annotated[int, between(1, 100)]
    """Of each control that is drawn at random."""

    def __post_init__(self):
        super().__post_init__()
        if not self.strengths or len(set(self.strengths)) < len(self.strengths):
            raise SaevError(f"counterfactual.strengths must be different, got {list(self.strengths)}")
        for strength in self.strengths:
            check_number("counterfactual.strengths", strength, low=-1e6, high=1e6)
        object.__setattr__(self, "strengths", tuple(map(float, self.strengths)))  # YAML's 0 is an int


class Chosen(NamedTuple):
    """An edit of latents, which controls are held against."""

    latents: Latents
    strength: float
    kind: str
    change_mtd: Tensor
    """x' - x of the patches of every pair."""


class TwinEdit(NamedTuple):
    """What is done to the scenes with the attributes."""

    method: str
    strength: float
    changes: list[Tensor]
    """(m, t, d) x' - x of the patches, of each draw."""


@dataclass(frozen=True)
class TwinEditor:
    """Edits of the scenes with the attributes, by latents of an SAE or along directions."""

    sae: SAE
    twins: Twins
    train: Codes
    directions: Directions
    """Of the attributes; their seed is that of all draws."""

    @cached_property
    def codes(self) -> list[scipy.sparse.csr_array]:
        """(t, s) of the patches of each pair, of all latents: edits and their controls ask for many."""
        sae = self.sae
        with torch.inference_mode():
            return [
                scipy.sparse.csr_array(sae.encode(x_td.to(sae.W_dec.device)).numpy(force=True))
                for x_td in self.twins.model.x_btd[:, self.twins.patches]
            ]

    def edit(self, latents: Latents, strength: float, kind: str = "set") -> Chosen:
        """The latents of each pair's attribute edited (one of EDITS) on all patches."""
        sae, changes = self.sae, []
        for f_ts, name in zip(self.codes, self.twins.attribute_m, strict=True):
            of = list(latents[name])
            f_tk = torch.from_numpy(f_ts[:, of].toarray())
            new_tk = EDITS[kind](f_tk, strength, torch.from_numpy(self.train.maximum[of]))
            changes.append(sae.scale * (new_tk - f_tk) @ sae.W_dec[of].detach().cpu())
        return Chosen(latents, strength, kind, torch.stack(changes))

    def control(self, name: str, like: Chosen, draws: int = 1) -> list[Float[Tensor, "m t d"]]:
        """The edits of a control, as many as there are draws of it: of random latents the same edit; all
        others move every patch as far as the edit of the chosen ones does.

        Raises:
            SaevError: scenes that are made anew have no such control.
        """
        latents, strength, kind, like_mtd = like
        attributes, seed = list(latents), self.directions.seed
        if name == "random latent":
            sets = [
                similar_latents(latents[of], self.train.density, seed + i, draws=draws, avoid=_all(latents))
                for i, of in enumerate(attributes)
            ]
            found = [dict(zip(attributes, of, strict=True)) for of in zip(*sets, strict=False)]
            return [self.edit(of, strength, kind).change_mtd for of in found]
        if name == "random direction":
            d = self.sae.d
            found = [
                {of: random_direction(d, seed + i, draw) for i, of in enumerate(attributes)}
                for draw in range(draws)
            ]
            return [against(of, self.twins, like_mtd) for of in found]
        if name in DIRECTIONS:
            of = {attribute: self.directions.of(name, attribute) for attribute in attributes}
            return [against(of, self.twins, like_mtd)]
        told = ", ".join(("random latent", "random direction", *DIRECTIONS))
        raise SaevError(f"a control of scenes made anew must be one of {told}, got {name!r}")


def calibration(training: TwinEditor, chosen: Latents, strength: float) -> dict[str, float]:
    """Of each attribute the factor for the edit of its latents with which it would have moved training pairs
    as far as the image did, if the logit followed in proportion:

        sum image / sum edit, at least 0 and at most FARTHEST

    and 0 where the edit moves nothing, or there are no training pairs.
    """
    twins = training.twins
    edit_m = twins.moved(twins.after(training.edit(chosen, strength).change_mtd)).own_m
    image_m, attribute_m = twins.moved(twins.absent_mtc).own_m, np.array(twins.attribute_m)
    factors = dict.fromkeys(chosen, 0.0)
    for name in factors:
        edit, image = (moved_m[attribute_m == name].sum() for moved_m in (edit_m, image_m))
        factors[name] = float(np.clip(image / edit, 0, FARTHEST)) if edit else 0.0
    return factors


def twin_edits(
    of: TwinEditor, chosen: Latents, options: TwinOptions, factors: Mapping[str, float]
) -> Iterator[TwinEdit]:
    """The latents chosen for each attribute, set to every strength; the first edit times the `factors` of
    the attributes, of `calibration`; and as controls of the first one

    random latent                   live ones that fire about as often, set to the same strength
    random direction                every patch moved as far as by the chosen latent's edit
    difference of means             likewise, against the direction of the attribute's tokens
    probe direction                 likewise, of a linear probe
    difference of means, level      all patches of a region moved by the mean of these lengths: without
                                    what the latent knows of where the attribute is, and how much of it
    """
    first, *others = options.strengths
    like = of.edit(chosen, first)
    yield TwinEdit(CHOSEN, first, [like.change_mtd])
    for strength in others:
        yield TwinEdit(CHOSEN, strength, [of.edit(chosen, strength).change_mtd])
    factor_m = torch.tensor([factors[name] for name in of.twins.attribute_m])
    yield TwinEdit(CALIBRATED, first, [factor_m[:, None, None] * like.change_mtd])
    for name in ("random latent", "random direction"):
        yield TwinEdit(name, first, of.control(name, like, options.draws))
    for name in QUOTED:
        yield TwinEdit(name, first, of.control(name, like))
    means = {name: of.directions.of(QUOTED[0], name) for name in chosen}
    level = against(means, of.twins, like.change_mtd, level=True)
    yield TwinEdit(f"{QUOTED[0]}, level", first, [level])


def against(
    directions: Mapping[str, Float[Tensor, " d"] | None],
    twins: Twins,
    like_mtd: Float[Tensor, "m t d"],
    *,
    level: bool = False,
) -> Float[Tensor, "m t d"]:
    """Every patch moved as far as by the change `like`, but against a unit vector of its pair's attribute,
    and not at all where there is none.

    Args:
        level: move all patches of a region by the mean of their lengths.
    """
    length_mt = torch.linalg.vector_norm(like_mtd, dim=-1)
    if level:
        inside_mt = torch.from_numpy(twins.inside_mt)
        mean_m = (length_mt * inside_mt).sum(1) / inside_mt.sum(1)
        length_mt = mean_m[:, None].expand_as(length_mt)
    nowhere = torch.zeros(like_mtd.shape[-1])
    given = (directions[name] for name in twins.attribute_m)
    direction_md = torch.stack([nowhere if of is None else of for of in given])
    return -length_mt[..., None] * direction_md[:, None]


def _all(latents: Latents) -> list[int]:
    return sorted({s for of in latents.values() for s in of})
