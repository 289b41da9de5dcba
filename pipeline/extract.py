"""images -> activations: record every split of the data through the backbone."""

from omegaconf import DictConfig

from pipeline import build, places, plain, stage


@stage("extract")
def main(cfg: DictConfig) -> None:
    import logging

    from lightning.fabric import Fabric

    from saev import distributed
    from saev.activations import Recording, record
    from saev.data import IGNORE
    from saev.files import scratch, write_json

    options = plain(cfg.extract)
    layers = [cfg.backbone.layer, *options.pop("also_layers")]
    recording = Recording(**options)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it announces every process
    fabric = Fabric(**places(cfg))
    fabric.launch()
    backbone = build(cfg.backbone, "layer")
    metrics = {}
    for split, source in plain(cfg.data.splits).items():
        images = build(cfg.data, "splits", **source)
        working = scratch("extract", {**options, "layers": layers, "weights": backbone.weights_hash(), "data": images.fingerprint})
        store = record(
            backbone, images, cfg.acts[split], layers=layers, working=working, options=recording, workers=cfg.workers,
            precision=cfg.machine.precision, device=fabric.device,
        )  # fmt: skip
        labelled = float((store.patch_labels() != IGNORE).mean())
        metrics[split] = {
            "images": store.n_images, "missing": len(store.attrs["missing"]), "labelled_patches": labelled, "layers": store.attrs["stats"],
        }  # fmt: skip
        if distributed.rank() == 0:
            working.rmdir()
    if distributed.rank() == 0:
        write_json(f"{cfg.results.extract}.json", metrics)


if __name__ == "__main__":
    main()
