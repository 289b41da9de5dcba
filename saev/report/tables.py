"""What the page says beyond the records: each claim beside its controls, and what speaks against it."""

from collections import defaultdict

from saev.report.bars import by_chance
from saev.report.outcomes import PLACES, is_control


def compared(outcome: dict) -> dict:
    """The outcome of edits with one column per method, so that the controls stand beside every figure.

    Returns:
        methods: the claims first. places: each {words, curves, rows}, with the curve of each method, or {},
        and rows {strength, cells} whose cells are points, or None where a method was not run. tested: how
        many classes. unmeasured: those that no drawn image shows. clusters: how many were resampled, the most
        of all points. steers, inserts: whether a code was set below 0, or above.
    """
    points, curves = outcome["points"], outcome["curves"]
    methods = sorted(dict.fromkeys(curve["method"] for curve in curves), key=is_control)
    at = {(point["place"], point["method"], point["strength"]): point for point in points}
    strengths = sorted(
        {point["strength"] for point in points}, key=lambda strength: (abs(strength), strength)
    )
    places = []
    for place in dict.fromkeys(curve["place"] for curve in curves):
        rows = [
            {"strength": strength, "cells": [at.get((place, method, strength)) for method in methods]}
            for strength in strengths
        ]
        places.append(
            {
                "words": PLACES.get(place, place),
                "curves": [_curve(curves, place, method) for method in methods],
                "rows": [row for row in rows if any(row["cells"])],
            }
        )
    images = defaultdict(int)
    for row in outcome["classes"]:
        images[row["class"]] = max(images[row["class"]], row["images"])
    return {
        "methods": methods,
        "places": places,
        "tested": len(images),
        "clusters": max((point["clusters"] or 0 for point in points), default=0),
        "unmeasured": [name for name, n in images.items() if not n],
        "steers": any(strength < 0 for strength in strengths),
        "inserts": any(strength > 0 for strength in strengths),
    }


def headline(outcome: dict) -> dict | None:
    """What edits of every token do, the place that knows no labels, or of the first place if there are none:
    the share of the target that the claim changes at the strength that was fixed beforehand, that of its
    control, their difference, and the claim's selectivity. None without edits."""
    if not outcome["curves"]:
        return None
    places = [curve["place"] for curve in outcome["curves"]]
    place = "all" if "all" in places else places[0]
    claims = [
        row["method"] for row in outcome["curves"] if row["place"] == place and not is_control(row["method"])
    ]
    strength, claim = outcome["strength"], next(iter(claims), None)
    at = {(point["place"], point["method"], point["strength"]): point for point in outcome["points"]}
    point = at.get((place, claim, strength), {})
    return {
        "place": PLACES.get(place, place),
        "strength": strength,
        "claim": point.get("target"),
        "control": point.get("control_target"),
        "effect": point.get("effect"),
        "interval": point.get("effect_interval"),
        "selectivity": _curve(outcome["curves"], place, claim).get("selectivity"),
    }


def doubts(matches: list[dict]) -> dict:
    """The classes whose latent is no better than chance, and the latents that several classes share."""
    sharing = defaultdict(list)
    for match in matches:
        sharing[match["latent"]].append(match["name"])
    return {
        "chance": [match["name"] for match in matches if by_chance(match)],
        "shared": {latent: names for latent, names in sharing.items() if len(names) > 1},
    }


def _curve(curves: list[dict], place: str, method: str | None) -> dict:
    of = (curve for curve in curves if (curve["place"], curve["method"]) == (place, method))
    return next(of, {})


def floors(evaluated: list[dict], probed: list[dict]) -> list[dict]:
    """The records of the floors' reconstruction, each with its `classes` and `concepts`, {f1, gain, low,
    high}, or None where nothing is labelled."""
    of = {(row["floor"], row["of"]): row for row in probed if row["f1"] is not None}
    return [
        {**row, **{kind: of.get((row["floor"], kind)) for kind in ("classes", "concepts")}}
        for row in evaluated
    ]


def hardest(of_floors: list[dict]) -> dict | None:
    """The floor, seeds aside, over which the gain of F1 is least: of concepts, or else of classes."""
    for kind in ("concepts", "classes"):
        if rows := [
            row[kind] | {"floor": row["floor"]} for row in of_floors if row[kind] and not row["seed"]
        ]:
            return min(rows, key=lambda row: row["gain"])
    return None


def verdict(of_floors: list[dict]) -> str:
    """In one sentence, whether the SAE's latents detect more than those of its floors, seeds aside."""
    told = []
    for kind in ("concepts", "classes"):
        rows = [row[kind] | {"floor": row["floor"]} for row in of_floors if row[kind] and not row["seed"]]
        rows = [row for row in rows if row["low"] is not None]
        beaten = [row["floor"] for row in rows if row["low"] > 0]
        level = [row["floor"] for row in rows if row["low"] <= 0]
        if rows:
            better = f"detect {kind} better than {listed(beaten)}" if beaten else f"detect {kind}"
            than = f"no better than {listed(level)}" if level else ""
            told.append(f"{better}{', but ' if beaten and level else ' ' if level else ''}{than}")
    return (
        f"Its latents {'; they '.join(told)}."
        if told
        else "Nothing is labelled: only its error can be held against theirs."
    )


def listed(names: list[str]) -> str:
    """As words of a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
