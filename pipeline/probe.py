"""features -> meanings: which latent stands for which class, against random latents and linear probes."""

from dataclasses import asdict
from statistics import fmean

from omegaconf import DictConfig

from pipeline.stage import build, plain, stage


@stage("probe")
def main(cfg: DictConfig) -> None:
    from saev.activations import Store
    from saev.features import load_split, top_images
    from saev.files import write_json
    from saev.probing import linear_probes, match_classes
    from saev.report import exemplar_atlas, f1_bars, save
    from saev.sae.formats.checkpoint import load_layer

    layer = load_layer(cfg.sae_dir)
    stores = {split: Store(path) for split, path in cfg.acts.items()}
    train, val = (load_split(f"{cfg.codes}/{split}.safetensors", stores[split]) for split in ("train", "val"))
    matches = match_classes(train, val, stores["val"].classes)
    linear = linear_probes(
        train, val, stores["train"], stores["val"], layer, seed=cfg.seed, **plain(cfg.probe)
    )

    images = build(cfg.data, "splits", **plain(cfg.data.splits.val))
    rows = []
    for match in matches:
        codes = val.images(match.latent)
        top = top_images(codes, cfg.exemplars)
        title = f"{match.name}: latent {match.latent}, F1 {match.f1:.2f}"
        rows.append(
            (title, [images[i].image for i in top], [codes[i].reshape(stores["val"].grid) for i in top])
        )
    save(exemplar_atlas(rows, cfg.exemplars), f"{cfg.results.probe}/exemplars.png")
    save(f1_bars([asdict(match) for match in matches]), f"{cfg.results.probe}/f1.png")
    write_json(f"{cfg.results.probe}/classes.json", [asdict(match) for match in matches])
    means = {
        key: fmean(getattr(match, key) for match in matches)
        for key in ("f1", "f1_train", "ap", "null_f1", "null_f1_95")
    }
    write_json(f"{cfg.results.probe}/metrics.json", {**means, "linear_probe": linear})


if __name__ == "__main__":
    main()
