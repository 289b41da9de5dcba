"""The latents of a cell as the page reads them: columns of all, and the details of 128 at a time."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from saev.atlas.exemplars import Shown
from saev.atlas.naming import Names
from saev.atlas.script import narrowest, packed, write_script
from saev.features.profiles import Profile

CHUNK = 128
"""Latents whose details are one script."""
THUMBNAILS = 3
"""Exemplars that the list shows."""
NOBODY = 65535
"""In the place of a concept where there is none."""
MERGED = 4
"""Bins of a profile's histogram that the page shows as one: two an octave."""


class Latents(NamedTuple):
    """All that is known of the latents of a cell."""

    profile: Profile
    strongest: Shown
    spread: Shown
    names: dict[str, Names]
    """By kind of concept."""
    twin_se: np.ndarray
    """The most similar latent of each other seed."""
    cosine_se: np.ndarray
    told: dict[int, dict]
    """Records of single latents (`saev.atlas.told`)."""
    level_s: np.ndarray | None
    """Of a dictionary of nested levels: the first that has the latent."""


def write_latents(out: Path, cell: str, of: Latents) -> list[dict]:
    """Write `d/<cell>/columns.js` and `d/<cell>/<number>.js`.

    Returns:
        The concepts, {name, kind}, that its columns number.
    """
    concepts, best = _best_names(of)
    profile, top = of.profile, of.strongest.image_sk[:, :THUMBNAILS]
    stability_s = of.cosine_se.mean(1) if of.cosine_se.shape[1] else np.full(len(top), np.nan)
    columns = {
        "frequency": profile.density_s,
        "images": profile.images_s,
        "maximum": profile.maximum_s,
        "mean": profile.mean_s,
        "stability": stability_s,
        **best,
    }
    value: dict[str, dict | None] = {
        name: packed(column.astype(np.float32)) for name, column in columns.items()
    }
    value["concept"] = packed(best["concept"].astype(np.uint16))
    value["top"] = packed(top.astype(np.int32))
    value["at"] = packed(_strongest_tokens(of.strongest)[:, :THUMBNAILS])
    value["level"] = None if of.level_s is None else packed(of.level_s.astype(np.uint8))
    write_script(out, f"d/{cell}/columns", value)
    for number, first in enumerate(range(0, len(top), CHUNK)):
        write_script(out, f"d/{cell}/{number}", _details(of, slice(first, first + CHUNK)))
    return concepts


def _best_names(of: Latents) -> tuple[list[dict], dict[str, np.ndarray]]:
    """The concepts, and of each latent the one that speaks for it, with its evidence: of those that the probe
    chose it for the best, else the one that it detects best against chance."""
    n, concepts, number = len(of.profile.density_s), [], {}
    for kind, names in of.names.items():
        for name in names.concepts:
            number[kind, name] = len(concepts)
            concepts.append({"kind": kind, "name": name})
    best = {key: np.full(n, np.nan) for key in ("f1", "low", "high", "null", "chance")}
    best["concept"], best["probed"] = np.full(n, NOBODY), np.zeros(n)
    least_s = np.full(n, np.inf)
    for kind, names in of.names.items():
        better = (names.concept_s >= 0) & (names.p_s - names.f1_s < least_s)
        least_s[better] = (names.p_s - names.f1_s)[better]
        found = {"f1": names.f1_s, "low": names.low_s, "high": names.high_s}
        for key, column in (found | {"null": names.null_s, "chance": names.p_s}).items():
            best[key][better] = column[better]
        best["concept"][better] = number[kind, names.concepts[0]] + names.concept_s[better]
    for s, told in of.told.items():
        claimed = [row for row in told.get("concepts", []) if row["claimed"]]
        for row in sorted(claimed, key=lambda row: row["f1"])[-1:]:
            best["concept"][s], best["probed"][s] = number[row["kind"], row["name"]], 1
            for key, value in (
                ("f1", "f1"),
                ("low", "low"),
                ("high", "high"),
                ("null", "null"),
                ("chance", "q"),
            ):
                best[key][s] = np.nan if row[value] is None else row[value]
    return concepts, best


def _strongest_tokens(shown: Shown) -> np.ndarray:
    """(s, k) uint16, of each exemplar the token with the largest code."""
    found = [0 if of is None or not len(of[0]) else of[0][of[1].argmax()] for of in shown.map_sk.ravel()]
    return np.array(found, np.uint16).reshape(shown.image_sk.shape)


def _details(of: Latents, these: slice) -> dict:
    profile = of.profile
    here = range(*these.indices(len(profile.density_s)))
    return {
        "first": these.start,
        "strongest": _exemplars(of.strongest, these),
        "spread": _exemplars(of.spread, these),
        "histogram": _histogram(profile.histogram_sh[these]),
        "quantiles": packed(profile.quantiles_sq[these].astype(np.float32)),
        "near": packed(narrowest(profile.near_sk[these])),
        "cosine": packed(profile.cosine_sk[these].astype(np.float32)),
        "together": packed(narrowest(profile.together_sk[these])),
        "jaccard": packed(profile.jaccard_sk[these].astype(np.float32)),
        "twin": packed(narrowest(of.twin_se[these])),
        "likeness": packed(of.cosine_se[these].astype(np.float32)),
        "names": {kind: _named(names, these) for kind, names in of.names.items()},
        "told": {str(s): of.told[s] for s in here if s in of.told},
    }


def _named(names: Names, these: slice) -> dict:
    numbers = {
        "f1": names.f1_s,
        "low": names.low_s,
        "high": names.high_s,
        "null": names.null_s,
        "p": names.p_s,
    }
    of = {key: packed(column[these].astype(np.float32)) for key, column in numbers.items()}
    return of | {"concept": packed(names.concept_s[these].astype(np.int32))}


def _exemplars(shown: Shown, these: slice) -> dict:
    """Images, peaks, and the maps one after the other."""
    maps = [
        (np.empty(0, np.uint16), np.empty(0, np.uint8)) if of is None else of
        for of in shown.map_sk[these].ravel()
    ]
    token, level = (np.concatenate([of[i] for of in maps]) for i in (0, 1))
    return {
        "image": packed(shown.image_sk[these].astype(np.int32)),
        "peak": packed(shown.peak_sk[these]),
        "size": packed(narrowest(np.array([len(of[0]) for of in maps]))),
        "token": packed(narrowest(token)),
        "level": packed(level),
    }


def _histogram(histogram_sh: np.ndarray) -> dict:
    """The bins from the first to the last that is not empty, of each latent."""
    merged_sh = np.pad(histogram_sh, ((0, 0), (0, -histogram_sh.shape[1] % MERGED)))
    merged_sh = merged_sh.reshape(len(histogram_sh), -1, MERGED).sum(2)
    some_sh = merged_sh > 0
    first_s = some_sh.argmax(1)
    size_s = np.where(some_sh.any(1), merged_sh.shape[1] - some_sh[:, ::-1].argmax(1) - first_s, 0)
    parts = [row[first : first + size] for row, first, size in zip(merged_sh, first_s, size_s, strict=True)]
    return {
        "first": packed(first_s.astype(np.uint8)),
        "size": packed(size_s.astype(np.uint8)),
        "count": packed(narrowest(np.concatenate(parts))),
    }
