"""A study as the page tells it: stores, their layers, their SAEs, each with its records and pictures."""

from itertools import product
from statistics import median

from saev.report.results import Results
from saev.report.tables import compared, doubts, floors, hardest, headline, verdict


def gather(results: Results, grid: dict[str, list]) -> list[dict]:
    """Everything that the page says, for each data set and backbone of the grid.

    Args:
        grid: {data, backbones, layers, saes}, and {untrained}, those of the backbones that learnt nothing, as
            in conf/study.yaml.

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
        "hardest": hardest(of),
        "measured": [kind for kind in ("classes", "concepts") if any(row[kind] for row in of)],
        "verdict": verdict(of),
        "strongest": results.read("probe", cell, "latents.json"),
        "sparse": (sparse := results.read("probe", cell, "sparse.json")),
        "contrast": (contrast := results.read("contrast", cell, "metrics.json")),
        "causes": results.read("causes", cell, "causes.json"),
        "counterfactual": (counterfactual := results.read("counterfactual", cell, "counterfactual.json")),
        "agreement": results.read("causes", cell, "agreement.json") or [],
        "outcome": outcome,
        "compared": compared(outcome),
        "headline": headline(outcome),
        "frontier": {
            "sae": name,
            "l0": scores["val"]["l0"],
            "nmse": scores["val"]["nmse"],
            "f1": probed["f1"],
            "selectivity": (headline(outcome) or {}).get("selectivity"),
        },
        "pictures": {
            **_pictures(results, cell, classes, concepts, outcome["reason"] is None),
            "sparse": _if(any(sparse.values()), results, "probe", cell, "sparse.svg"),
            "contrast": _if(contrast["reason"] is None, results, "contrast", cell, "contrast.svg"),
            "contrasted": results.pages("contrast", cell, "contrast"),
            "causes": results.pages("causes", cell, "causes"),
            "pairs": _if(counterfactual["reason"] is None, results, "counterfactual", cell, "pairs.svg"),
        },
    }


def _pictures(results: Results, cell: str, classes: list, concepts: list, edited: bool) -> dict:
    """The pages of each kind of picture: lists, empty where there is nothing of the kind."""
    exemplars = results.pages("probe", cell, "exemplars")
    if (classes or concepts) and not exemplars:
        exemplars = [results.picture("probe", cell, "exemplars-1.png")]
    return {
        "exemplars": exemplars,
        "f1": _if(classes, results, "probe", cell, "f1.svg"),
        "concepts": _if(concepts, results, "probe", cell, "concepts.svg"),
        "tradeoff": _if(edited, results, "intervene", cell, "tradeoff.svg"),
        "maps": results.pages("intervene", cell, "maps") if edited else [],
    }


def _if(there: object, results: Results, *picture: str) -> list:
    """A picture of which there is one, or none."""
    return [results.picture(*picture)] if there else []
