"""images -> activations: record every split of the data through the backbone."""

from omegaconf import DictConfig

from pipeline import build, machine, plain, stage


@stage("extract")
def main(cfg: DictConfig) -> None:
    from saev.activations import record
    from saev.data import IGNORE
    from saev.files import scratch, write_json

    backbone = build(cfg.backbone, "layer")
    metrics = {}
    for split, options in plain(cfg.data.splits).items():
        images = build(cfg.data, "splits", **options)
        identity = {**plain(cfg.extract), "weights": backbone.weights_hash(), "data": images.fingerprint, "layer": cfg.backbone.layer}
        working = scratch("extract", identity)
        store = record(
            backbone, images, cfg.acts[split], layers=[cfg.backbone.layer], working=working,
            workers=cfg.workers, **plain(cfg.extract), **machine(cfg),
        )  # fmt: skip
        working.rmdir()
        labelled = float((store.patch_labels() != IGNORE).mean())
        (statistics,) = store.attrs["stats"].values()
        metrics[split] = {"images": store.n_images, "labelled_patches": labelled, **statistics}
    write_json(f"{cfg.results.extract}.json", metrics)


if __name__ == "__main__":
    main()
