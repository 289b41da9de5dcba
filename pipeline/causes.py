"""meanings -> causes: what in the image makes a latent fire, and whether its concept alone does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.pictures import seen
from pipeline.stage import read, stage
from saev.checks import Options, between, check_seed

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.features.causes import Cause
    from saev.features.sight import Sight
    from saev.probing import Match
    from saev.report import Caused

RESULTS = {r"causes\.json": '"elsewhere"', r"agreement\.json": None, r"causes-\d+\.png": None}
"""The files of its results, as `saev.outputs` knows them."""
ELSEWHERE = 0.5
"""Of the effects: a latent of which more than so much lies where it does not fire is caused elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Causing(Options, section="causes"):
    """How much is looked at."""

    latents: Annotated[int, between(0, 1000)]
    images: Annotated[int, between(1, 24)]
    pairs: Annotated[int, between(0, 1000)]


@stage("causes")
def main(cfg: DictConfig) -> None:
    from saev.features.causes import causes
    from saev.features.sight import Sight
    from saev.files import write_json
    from saev.machine import track
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.probing import load_matches
    from saev.report import cause_pages, save_pages

    cell, options, seed = Cell(cfg), read(Causing, cfg.causes), check_seed(cfg.seed)
    results, tokens, picture = cell.results("causes"), cell.tokens("val"), seen(cell, "val")
    found = load_matches(f"{cfg.matches}/matches.safetensors")
    reason = None if tokens.grid else "the SAE reads other tokens than patches: there are no maps"
    with new_directory(results, RESULTS) as out:
        told, agreed, shown = [], None, []
        if not reason:
            sight = Sight(cell.sae, cell.backbone, tokens.layer, cell.machine)
            latents = looked_at(cell, found, options.latents)
            todo = [(s, int(i)) for s in latents for i in top(cell, s, options)]
            for s, i in track(todo, "causes", len(todo), unit="images"):
                cause = causes(sight, picture(i), s, deletion=False, seed=seed)
                told.append({"latent": s, "image": i, **flat(cause)})
                shown.append(drawn(cause, picture(i)))
            agreed = agreement(cell, sight, found.get("concepts", []), (options.pairs, seed))
        write_json(out / "causes.json", {"reason": reason, **summary(told), "causes": told})
        write_json(out / "agreement.json", agreed)
        save_pages(cause_pages("What the strongest code of each latent comes from", shown), out, "causes")
    looked = f"{len(told)} images of {len({row['latent'] for row in told})} latents"
    say(f"causes: {reason or looked}; in {results}")


def looked_at(cell: Cell, found: "dict[str, list[Match]]", n: int) -> list[int]:
    """The latents: of concepts, then of classes, those that beat their null with the best F1; without labels
    the strongest."""
    from saev.features import strongest_latents

    best = [
        match.latent
        for kind in ("concepts", "classes")
        for match in sorted(found.get(kind, []), key=lambda match: -match.scores["f1"])
        if match.claimed
    ]
    live = cell.codes("val").maximum > 0
    chosen = [s for s in dict.fromkeys(best or strongest_latents(cell.codes("val"), n).tolist()) if live[s]]
    return chosen[:n]


def top(cell: Cell, latent: int, options: Causing) -> np.ndarray:
    """The validation images on which it is strongest."""
    from saev.features import top_images

    return top_images(cell.codes("val").maps(latent), options.images)


def flat(cause: "Cause") -> dict:
    """The record of a latent on an image."""
    areas = cause.curves.areas(cause.curves.insertion)
    return {
        "code": cause.code,
        "agreement": cause.agreement,
        "elsewhere": cause.elsewhere,
        "beyond": cause.beyond,
        "fires": text(cause.fires_hw),
        "effect": text(cause.effect_hw),
        **{f"by_{order}": area for order, area in areas.items()},
    }


def text(map_hw: np.ndarray) -> list[str]:
    """Its rows: as lists every number would have a line of its own."""
    return [" ".join(f"{value:.3g}" for value in row) for row in map_hw]


def drawn(cause: "Cause", image: np.ndarray) -> "Caused":
    """What the picture of it is made of."""
    from saev.report import Caused

    curves = cause.curves
    name = f"latent {cause.latent}"
    return Caused(
        name, image, cause.codes_hw, cause.effect_hw, cause.elsewhere, curves.share_k, curves.insertion
    )


def summary(told: Sequence[dict]) -> dict:
    """Means over what was looked at; None where nothing was."""

    def mean(key: str) -> float | None:
        values = [row[key] for row in told if row[key] is not None]
        return float(np.mean(values)) if values else None

    away = [row["elsewhere"] > ELSEWHERE for row in told if row["elsewhere"] is not None]
    keys = ("agreement", "elsewhere", "beyond", "by_effect", "by_firing", "by_random")
    return {key: mean(key) for key in keys} | {"away": float(np.mean(away)) if away else None}


def agreement(
    cell: Cell, sight: "Sight", matches: "list[Match]", draws: tuple[int, int]
) -> list[dict] | None:
    """Of each concept whether its latent goes out with it, on scenes that can be made anew without it; None
    of other images."""
    from saev.data import Mosaic
    from saev.probing.agreement import agreements
    from saev.probing.pairs import encode_pairs, first_pairs

    scenes, (n, seed) = cell.images("val"), draws
    if not isinstance(scenes, Mosaic) or not matches or not n:
        return None
    return [of.row() for of in agreements(encode_pairs(first_pairs(scenes, n), sight), matches, seed=seed)]


if __name__ == "__main__":
    main()
