"""What the page says beyond the records: each claim beside its controls, and what speaks against it."""

from collections import defaultdict
from itertools import product

from saev.report.bars import by_chance
from saev.report.outcomes import PLACES, is_control


def compared(outcome: dict) -> dict:
    """The outcome of edits with one column per method, so that the controls stand beside every figure.

    Returns:
        methods: the claims first. places: each {words, curves, rows}, with the curve of each method, or {},
        and rows {strength, cells} whose cells are points, or None where a method was not run. tested: how
        many classes. unmeasured: those that no drawn image shows. steers: whether a code was set below 0.
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
        "unmeasured": [name for name, n in images.items() if not n],
        "steers": any(strength < 0 for strength in strengths),
    }


def headline(outcome: dict) -> dict | None:
    """Selectivity of the claim, and the largest of its controls, None without edits: of edits of every token,
    the place that knows no labels, or if there are none of the first place."""
    if not outcome["curves"]:
        return None
    places = [curve["place"] for curve in outcome["curves"]]
    place = "all" if "all" in places else places[0]
    here = [c for c in outcome["curves"] if c["place"] == place and c.get("selectivity") is not None]
    claim = next((curve["selectivity"] for curve in here if not is_control(curve["method"])), None)
    controls = [curve["selectivity"] for curve in here if is_control(curve["method"])]
    return {"place": PLACES.get(place, place), "claim": claim, "control": max(controls, default=None)}


def doubts(matches: list[dict]) -> dict:
    """The classes whose latent is no better than chance, and the latents that several classes share."""
    sharing = defaultdict(list)
    for match in matches:
        sharing[match["latent"]].append(match["name"])
    return {
        "chance": [match["name"] for match in matches if by_chance(match)],
        "shared": {latent: names for latent, names in sharing.items() if len(names) > 1},
    }


def _curve(curves: list[dict], place: str, method: str) -> dict:
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


def verdict(of_floors: list[dict]) -> str:
    """In one sentence, whether the SAE's latents detect more than those of its floors, seeds aside."""
    told = []
    for kind in ("concepts", "classes"):
        rows = [row[kind] | {"floor": row["floor"]} for row in of_floors if row[kind]]
        rows = [row for row in rows if row["low"] is not None and not row["floor"].startswith("seed")]
        beaten = [row["floor"] for row in rows if row["low"] > 0]
        level = [row["floor"] for row in rows if row["low"] <= 0]
        if rows:
            better = f"detect {kind} better than {_listed(beaten)}" if beaten else f"detect {kind}"
            than = f"no better than {_listed(level)}" if level else ""
            told.append(f"{better}{', but ' if beaten and level else ' ' if level else ''}{than}")
    return (
        f"Its latents {'; they '.join(told)}."
        if told
        else "Nothing is labelled: only its error can be held against theirs."
    )


def against_untrained(stores: list[dict]) -> list[str]:
    """One sentence for each SAE of a trained backbone: what the same SAE finds in one of random weights."""
    told = []
    for store, floor in product(stores, stores):
        if store["untrained"] or not floor["untrained"] or store["data"] != floor["data"]:
            continue
        for mine, theirs in zip(store["layers"], floor["layers"], strict=True):
            for sae, twin in zip(mine["saes"], theirs["saes"], strict=True):
                where = f"layer {mine['layer']}, {sae['name']}: mean F1"
                parts = [
                    f"of all {kind} {_interval(sae[key])} in {store['backbone']}, {_interval(twin[key])} in "
                    f"{floor['backbone']}, whose weights are random"
                    for kind, key in (("concepts", "described"), ("classes", "probe"))
                    if sae[key] and twin[key] and None not in (sae[key]["all_f1"], twin[key]["all_f1"])
                ]
                told += [f"{where} {'; '.join(parts)}."] if parts else []
    return told


def _interval(probe: dict) -> str:
    value = f"{probe['all_f1']:.2f}"
    return value if probe["all_low"] is None else f"{value} [{probe['all_low']:.2f}, {probe['all_high']:.2f}]"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
