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
    floors = [{"floor": "random", "of": "classes", "f1": 0.1, **gain}] if rows else []
    write(root, "probe", cell, "floors.json", floors)
    write(root, "probe", cell, "concepts.json", [])
    write(root, "probe", cell, "described.json", None)
    write(root, "probe", cell, "latents.json", [{"latent": 7, "maximum": 3.5, "density": 0.02}])
    pictures = ["probe/exemplars-1.png", "probe/exemplars-2.png", *(["probe/f1.png"] if rows else [])]
    pictures += ["intervene/maps-1.png", "intervene/tradeoff.png"] if task else []
    for picture in pictures:
        stage, name = picture.split("/")
        path = root / "results" / stage / cell / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)
    write(root, "intervene", cell, "metrics.json", {"chosen_latent": {}} if task else None)
    write(root, "intervene", cell, "outcome.json", outcome(classes) if task else nothing())


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
    floor = {"floor": "random", "nmse": 0.6, "l0": 32.0, "gain": 0.4766, "low": 0.45, "high": 0.5}
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
                }
            )
        at_80 = 0.031 if claim else None
        curves.append(
            {"method": method, "place": place, "selectivity": 0.93 if claim else 0.55, "other_at_80": at_80}
        )
    rows = [
        {"class": name, "method": m, "place": p, "strength": s, "target": 0.5, "other": 0.1, "images": 5}
        for name, m, p, s in product(classes, methods, places, strengths)
    ]
    return {"reason": None, "images": 20, "points": points, "curves": curves, "classes": rows}


def nothing() -> dict:
    return {"reason": "there is no task", "images": 0, "points": [], "curves": [], "classes": []}


def write(root: Path, stage: str, cell: str, file: str, value: object) -> Path:
    """A record of a stage."""
    path = root / "results" / stage / cell / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
