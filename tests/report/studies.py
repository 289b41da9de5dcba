"""Results of studies that nobody ran: every file that the stages write, of any data."""

import json
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

STRENGTHS = (0.0, -1.0, -2.0)
METHODS = ("chosen latent", "random latent", "random direction")
PLACES = ("all", "active")


def write_study(
    root: Path,
    *,
    data: tuple[str, ...] = ("birds",),
    backbones: tuple[str, ...] = ("vit",),
    layers: tuple[int, ...] = (10,),
    saes: tuple[str, ...] = ("topk", "relu"),
    classes: tuple[str, ...] = ("cat", "dog", "tree"),
    labelled: str | None = "patches",
) -> dict[str, list]:
    """Write the results of a study below `root`, and return its grid. `labelled` None: unlabelled images."""
    classes = classes if labelled else ()
    for store in (f"{d}-{b}" for d, b in product(data, backbones)):
        write(
            root,
            "extract",
            store,
            "metrics.json",
            {"train": split(90, classes, labelled), "val": split(30, classes, labelled)},
        )
        counts = {name: 30 // len(classes) for name in classes}
        write(root, "extract", store, "classes.json", {"train": counts, "val": counts})
        write(root, "head", store, "metrics.json", head(classes, labelled))
        for i, (layer, sae) in enumerate(product(layers, saes)):
            write_cell(root, f"{store}-L{layer}-{sae}", sae, classes, labelled, np.random.default_rng(i))
    write_comparisons(root, data, backbones, layers[0], saes[0], classes)
    write(root, "verdicts", "", "verdicts.json", {"verdicts": verdicts() if classes else []})
    draw(root / "results/verdicts/verdicts.svg")
    return {"data": list(data), "backbones": list(backbones), "layers": list(layers), "saes": list(saes)}


def write_cell(root: Path, cell: str, sae: str, classes, labelled, rng: np.random.Generator) -> None:
    """The results of one SAE."""
    task = len(classes) > 1
    curve = [
        {"step": s, "sae": sae, "loss": 1.0, "mse": 1 / (s + 1), "l0": 8.0, "dead": 0.0} for s in range(5)
    ]
    write(root, "train", cell, "curve.json", curve)
    write(root, "evaluate", cell, "metrics.json", {**scores(), "fidelity": fidelity() if task else None})
    write(root, "evaluate", cell, "density.json", (rng.random(64) ** 4).tolist())
    rows = matches(classes, rng)
    write(root, "probe", cell, "classes.json", rows)
    write(root, "probe", cell, "metrics.json", probed(rows, "images" if labelled == "images" else "patches"))
    gain = {"gain": 0.2, "low": 0.1, "high": 0.3}
    floors = [{"floor": "random", "seed": False, "of": "classes", "f1": 0.1, **gain}] if rows else []
    write(root, "probe", cell, "floors.json", floors)
    write(root, "probe", cell, "concepts.json", [])
    write(root, "probe", cell, "described.json", None)
    latent = {"latent": 7, "maximum": 3.5, "median": 0.7, "density": 0.02, "images_share": 0.3}
    write(root, "probe", cell, "latents.json", [latent])
    write(root, "probe", cell, "sparse.json", {"classes": few(), "concepts": []} if rows else {})
    write(root, "contrast", cell, "metrics.json", contrasted(classes))
    write(root, "causes", cell, "causes.json", caused())
    write(root, "causes", cell, "agreement.json", agreed() if rows else None)
    write(root, "counterfactual", cell, "counterfactual.json", counterfactual(bool(rows)))
    pictures = ["probe/exemplars-1.png", "probe/exemplars-2.png", *(["probe/f1.svg"] if rows else [])]
    pictures += ["intervene/maps-1.png", "intervene/tradeoff.svg", "contrast/contrast.svg"] if task else []
    pictures += ["causes/causes-1.png"]
    pictures += ["probe/sparse.svg", "counterfactual/pairs.svg"] if rows else []
    for picture in pictures:
        stage, name = picture.split("/")
        draw(root / "results" / stage / cell / name)
    write(root, "intervene", cell, "metrics.json", {"chosen_latent": {}} if task else None)
    write(root, "intervene", cell, "outcome.json", outcome(classes) if task else nothing())


def write_comparisons(root: Path, data, backbones, layer, sae, classes) -> None:
    """Of the first backbone with the second, if there are two and anything is labelled."""
    records = []
    for name in data if len(backbones) > 1 and classes else ():
        cells = [{"backbone": b, "layer": layer, "sae": sae} for b in backbones[:2]]
        verdicts = ["only here" if i % 2 else "unsettled" for i in range(len(classes))]
        rows = [
            {"name": c, "here": side(0.7, True), "there": side(0.2, False), **gap(0.5), "verdict": verdict}
            for c, verdict in zip(classes, verdicts, strict=True)
        ]
        record = {
            "data": name,
            "kind": "classes",
            "differs": "backbone",
            "margin": 0.05,
            "here": cells[0],
            "there": cells[1],
            "mean": {"difference": 0.5, "low": 0.4, "high": 0.6},
            "verdicts": {verdict: verdicts.count(verdict) for verdict in verdicts},
            "concepts": rows,
            "picture": f"{name}.svg",
        }
        records.append(record)
        draw(root / "results/compare" / f"{name}.svg")
    write(root, "compare", "", "compare.json", {"compared": records})


def side(f1: float, claimed: bool) -> dict:
    return {"f1": f1, "latent": 3, "claimed": claimed}


def gap(difference: float) -> dict:
    of = {"low": difference - 0.1, "high": difference + 0.1, "q": 0.01, "alike": 0.9}
    return {"difference": difference, **of}


def few() -> list[dict]:
    of = {"f1": 0.4, "auroc": 0.8, "low": 0.3, "high": 0.5, "gain": 0.1, "gain_low": 0.05, "gain_high": 0.2}
    return [{"read": read, "k": k, **of} for read, k in (("sae", 1), ("sae", 4), ("random", 1), ("x", None))]


def contrasted(classes) -> dict:
    if len(classes) < 2:
        return {"reason": "no two values of class are known of the images", "claimed": None, "largest": []}
    counts = {"images": [12, 10], "clusters": [12, 10], "left_out": 3, "tested": 60, "claimed": 4, "best": 1}
    named = {"by": "class", "groups": list(classes[:2]), "strata": None, "split": "val"}
    effect = {"latent": 9, "effect": 0.4, "low": 0.1, "high": 0.7, "p": 0.001, "q": 0.02}
    return {"reason": None, **named, **counts, "largest": [effect]}


def caused() -> dict:
    means = {"agreement": 0.3, "elsewhere": 0.25, "beyond": 0.5, "away": 0.125}
    areas = {"by_effect": 0.9, "by_firing": 0.7, "by_random": 0.6}
    return {"reason": None, **means, **areas, "causes": [{"latent": 3, "image": 4, "elsewhere": 0.25}]}


def verdicts() -> list[dict]:
    """One prediction that was tested, and one that could not be."""
    said = {
        "cell": "birds-vit-L10-topk",
        "kind": "confirmatory",
        "reason": "registered before",
        "smallest": 0.5,
    }
    tested = {
        "effect": 0.9,
        "low": 0.7,
        "high": 1.1,
        "others": 0.1,
        "others_high": 0.2,
        "margin": 0.3,
        "q": 0.01,
    }
    yes = {"name": "cats-go", "verdict": "supported", "claim": "Cats go.", "clusters": 12, **said, **tested}
    no = {"name": "dogs-go", "verdict": "inconclusive", "claim": "Dogs go.", "clusters": 0, **said}
    return [yes | {"registered": 1, "detectable": 0.6}, no | {"note": "the study has no such cell"}]


def counterfactual(seen: bool) -> dict:
    """Of edits against the same change of the image."""
    if not seen:
        return {"reason": "the images cannot be made anew", "pairs": 0, "arms": [], "attributes": []}
    counted = {"pairs": 24, "photographs": 12, "r": 0.6, "sign": 0.9, "image_off": 0.3, "image_outside": 0.2}
    found = {"share": 0.9, "share_low": 0.7, "share_high": 1.2, "off": 0.2, "off_low": None, **counted}
    arm = {"method": METHODS[0], "strength": -0.5, **found}
    nothing = {"method": METHODS[1], "strength": -0.5, **counted, "share": 0.02, "off": 5.0, "r": None}
    attributes = [{"name": "stripes", "claimed": True, **arm}, {"name": "turn", "claimed": False, **nothing}]
    return {"reason": None, "pairs": 24, "arms": [arm, nothing], "attributes": attributes}


def agreed() -> list[dict]:
    of = {"drop": 0.9, "drop_low": 0.8, "drop_high": 1.0, "outside": 0.02, "kept": None}
    share = {"agreement": 0.6, "null": 0.01, "q": 0.03, "pairs": 12, "photographs": 9}
    return [{"name": "dots", "latent": 5, **of, **share}]


def split(n: int, classes, labelled) -> dict:
    return {
        "images": n,
        "missing": 1,
        "labelled": labelled,
        "labelled_patches": 0.9 if labelled == "patches" else 0.0,
        "classes": len(classes),
        "layers": {"10": {"patch": {"scale": 0.4}}},
    }


def head(classes, labelled) -> dict:
    if len(classes) < 2:
        return {"readout": None, "reason": "the training images have labels of fewer than 2 classes"}
    scores = {
        "accuracy": 0.81,
        "balanced_accuracy": 0.777,
        "miou": 0.7,
        "units": 500,
        "classes": len(classes),
    }
    return {"readout": "patches" if labelled == "patches" else "cls", "reason": "", **scores}


def scores() -> dict:
    of = {
        "explained_variance": 0.8,
        "l0": 31.5,
        "dead": 0.01,
        "dense": 0.2,
        "coherence": 0.2,
        "n_tokens": 480.0,
    }
    val = {"nmse": 0.1234, "low": 0.11, "high": 0.13, **of}
    gain = {"gain": 0.4766, "low": 0.45, "high": 0.5}
    floor = {"floor": "random", "seed": False, "nmse": 0.6, "l0": 32.0, **gain}
    stability = {"cosine": 0.6, "null": 0.3, "share": 0.7, "overlap": 0.9}
    return {"val": val, "train": {"nmse": 0.0987, **of}, "floors": [floor], "stability": stability}


def fidelity() -> dict:
    of = {"original": 0.8, "reconstructed": 0.7, "mean": 0.1, "zero": 0.05}
    return {**of, "recovered": 0.857, "images": 20}


def matches(classes, rng: np.random.Generator) -> list[dict]:
    return [
        {
            "name": name,
            "latent": int(rng.integers(64)),
            "threshold": 0.5,
            "f1": (f1 := float(rng.random())),
            "low": 0.8 * f1,
            "high": min(1.2 * f1, 1.0),
            "shuffled": 0.1,
            "p": 0.001,
            "q": 0.002,
            "detectable": 0.2,
            "stability": 0.7,
            "same": 1.0,
            "clusters": 10,
            "folds": 1,
            "f1_train": float(rng.random()),
            "null_f1": 0.01,
            "null_f1_95": 0.1,
            "rank": 0.01,
            "units": 40.0,
            "images": 10.0,
            "ap": 0.4,
            "prevalence": 0.05,
        }
        for name in classes
    ]


def probed(rows: list[dict], units: str) -> dict:
    keys = ("f1", "low", "high", "shuffled", "f1_train", "ap", "null_f1", "null_f1_95")
    means = {key: float(np.mean([row[key] for row in rows])) if rows else None for key in keys}
    linear = {"activations": 0.8, "codes": 0.75, "majority": 0.1} if rows else None
    return {
        "units": units if rows else None,
        "concepts": len(rows),
        "claimed": len(rows),
        **means,
        "linear_probe": linear,
    }


def outcome(classes, methods=METHODS, places=PLACES, strengths=STRENGTHS) -> dict:
    """Claims change the target more than controls, and others less."""
    points, curves = [], []
    for method, place in product(methods, places):
        claim = method.startswith("chosen")
        for i, s in enumerate(strengths):
            target, other = (i + 1) / len(strengths) * (0.9 if claim else 0.3), (i + 1) / 40
            points.append(
                {
                    "method": method,
                    "place": place,
                    "strength": s,
                    "target": target,
                    "target_interval": [0.8 * target, min(1.1 * target, 1)],
                    "target_pooled": target,
                    "other": other,
                    "other_interval": [0.7 * other, 1.4 * other],
                    "other_pooled": other,
                    "control": "random latent" if claim else None,
                    "control_target": target / 3 if claim else None,
                    "effect": target * 2 / 3 if claim else None,
                    "effect_interval": [target / 2, target] if claim else None,
                    "clusters": 20,
                }
            )
        at_80 = 0.031 if claim else None
        curves.append(
            {"method": method, "place": place, "selectivity": 0.93 if claim else 0.55}
            | {"other_at_80": at_80, "other_at_80_interval": [0.02, 0.05] if claim else None}
            | {"collateral_at_80": at_80, "collateral_at_80_interval": None}
            | ({"selectivity_effect": 0.38, "selectivity_effect_interval": [0.3, 0.46]} if claim else {})
        )
    rows = [
        {"class": name, "method": m, "place": p, "strength": s, "target": 0.5, "other": 0.1, "images": 5}
        for name, m, p, s in product(classes, methods, places, strengths)
    ]
    of = {"reason": None, "images": 20, "strength": strengths[-1]}
    return {**of, "points": points, "curves": curves, "classes": rows}


def nothing() -> dict:
    return {
        "reason": "there is no task",
        "images": 0,
        "strength": None,
        "points": [],
        "curves": [],
        "classes": [],
    }


def draw(path: Path) -> None:
    """A picture of nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"></svg>')
    else:
        Image.new("RGB", (8, 8), "red").save(path)


def write(root: Path, stage: str, cell: str, file: str, value: object) -> Path:
    """A record of a stage."""
    path = root / "results" / stage / cell / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
