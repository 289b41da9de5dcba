"""A study as the page tells it: stores, their layers, their SAEs, each with its records and pictures."""

from itertools import product
from statistics import median

from saev.report.records import Results
from saev.report.tables import compared, doubts, floors, headline, verdict


def gather(results: Results, grid: dict[str, list]) -> list[dict]:
    """Everything that the page says, for each data set and backbone of the grid.

    Args:
        grid: {data, backbones, layers, saes}, as in conf/study.yaml, and there `untrained`, those of the
            backbones that have random weights.

    Raises:
        SaevError: a file is missing or damaged.
    """
    return [
        _store(results, data, backbone, grid) for data, backbone in product(grid["data"], grid["backbones"])
    ]


def _store(results: Results, data: str, backbone: str, grid: dict[str, list]) -> dict:
    name = f"{data}-{backbone}"
    return {
        "name": name,
        "data": data,
        "backbone": backbone,
        "untrained": backbone in grid.get("untrained", ()),
        "splits": results.read("extract", name, "metrics.json"),
        "classes": results.read("extract", name, "classes.json"),
        "head": results.read("head", name, "metrics.json"),
        "layers": [
            {
                "layer": layer,
                "folder": f"{name}/L{layer}",
                "saes": [_sae(results, f"{name}-L{layer}", sae) for sae in grid["saes"]],
            }
            for layer in grid["layers"]
        ],
    }


def _sae(results: Results, tokens: str, name: str) -> dict:
    cell = f"{tokens}-{name}"
    scores = results.read("evaluate", cell, "metrics.json")
    density = results.read("evaluate", cell, "density.json")
    classes = results.read("probe", cell, "classes.json")
    outcome = results.read("intervene", cell, "outcome.json")
    probed = results.read("probe", cell, "metrics.json")
    concepts = results.read("probe", cell, "concepts.json")
    return {
        "name": name,
        "curve": results.read("train", cell, "curve.json"),
        "latents": len(density),
        "density": density,
        "usual": median(density) if density else 0.0,
        **scores,
        "probe": probed,
        "matches": classes,
        "doubts": doubts(classes),
        "described": results.read("probe", cell, "described.json"),
        "concepts": concepts,
        "concept_doubts": doubts(concepts),
        "floors": (of := floors(scores["floors"], results.read("probe", cell, "floors.json"))),
        "measured": [kind for kind in ("classes", "concepts") if any(row[kind] for row in of)],
        "verdict": verdict(of),
        "strongest": results.read("probe", cell, "latents.json"),
        "outcome": outcome,
        "compared": compared(outcome),
        "headline": headline(outcome),
        "frontier": {
            "sae": name,
            "l0": scores["val"]["l0"],
            "nmse": scores["val"]["nmse"],
            "f1": probed["f1"],
            "selectivity": (headline(outcome) or {}).get("claim"),
        },
        "pictures": _pictures(results, cell, classes, concepts, outcome["reason"] is None),
    }


def _pictures(results: Results, cell: str, classes: list, concepts: list, edited: bool) -> dict:
    """The pages of each kind of picture: lists, empty where there is nothing of the kind."""
    exemplars = results.pages("probe", cell, "exemplars")
    if (classes or concepts) and not exemplars:
        exemplars = [results.picture("probe", cell, "exemplars-1.png")]
    return {
        "exemplars": exemplars,
        "f1": [results.picture("probe", cell, "f1.png")] if classes else [],
        "concepts": [results.picture("probe", cell, "concepts.png")] if concepts else [],
        "tradeoff": [results.picture("intervene", cell, "tradeoff.png")] if edited else [],
        "maps": results.pages("intervene", cell, "maps") if edited else [],
    }
