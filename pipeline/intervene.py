"""meanings -> tests: edit each class's latent inside the model and measure what changes, against controls."""

import json
from pathlib import Path

from omegaconf import DictConfig

from pipeline.stage import build, machine, plain, stage


@stage("intervene")
def main(cfg: DictConfig) -> None:
    from saev.activations import Store
    from saev.features import load_split
    from saev.files import write_json
    from saev.intervention import Experiment, illustrate, run_experiment, summarise
    from saev.probing import Match
    from saev.report import save, segmentation_maps, tradeoff
    from saev.sae import load_sae
    from saev.sae.formats.checkpoint import load_layer
    from saev.tasks import Predictor, load_head

    options = Experiment(**plain(cfg.intervene), seed=cfg.seed)
    sae, layer = load_sae(cfg.sae_dir), load_layer(cfg.sae_dir)
    stores = {split: Store(path) for split, path in cfg.acts.items()}
    store = stores["val"]
    train, val = (load_split(f"{cfg.codes}/{split}.safetensors", stores[split]) for split in ("train", "val"))
    matches = [Match(**row) for row in json.loads(Path(cfg.results.probe, "classes.json").read_text())]
    head = load_head(cfg.head_file, store)
    predict = Predictor(build(cfg.backbone, "layer"), head, store, layer, options.max_images, **machine(cfg))
    counts, controls = run_experiment(sae, predict, matches, store.classes, train, val, options)
    names = [match.name for match in matches]
    summary = summarise(counts, names, options.strengths, seed=cfg.seed)

    images = build(cfg.data, "splits", **plain(cfg.data.splits.val))
    best = sorted(matches, key=lambda match: -match.f1)[: cfg.maps.classes]
    edited = illustrate(sae, predict, best, store.classes, train, val, cfg.maps.strength)
    rows = [(edit.name, images[edit.image].image, edit.before, edit.after) for edit in edited]
    results = cfg.results.intervene
    save(
        segmentation_maps(rows, store.classes, store.grid, f"set to {cfg.maps.strength:g} x its maximum"),
        f"{results}/maps.png",
    )
    save(tradeoff(summary["points"], summary["curves"]), f"{results}/tradeoff.png")
    write_json(f"{results}/outcome.json", {**summary, "controls": dict(zip(names, controls, strict=True))})
    write_json(
        f"{results}/curve.json", [{"edit": f"{p['method']}, {p['place']}", **p} for p in summary["points"]]
    )
    metrics = {}
    for curve in summary["curves"]:
        values = {"selectivity": curve["selectivity"], "other_at_80": curve["other_at_80"]}
        metrics.setdefault(curve["method"].replace(" ", "_"), {})[curve["place"]] = values
    write_json(f"{results}/metrics.json", metrics)


if __name__ == "__main__":
    main()
