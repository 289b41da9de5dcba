"""images -> activations: record every split of the data through the backbone."""

from omegaconf import DictConfig

from pipeline.stage import build, launch, plain, stage


@stage("extract")
def main(cfg: DictConfig) -> None:
    from saev.activations import Recording, record
    from saev.checks import check_int
    from saev.data import IGNORE
    from saev.errors import SaevError
    from saev.files import scratch, write_json
    from saev.machine import distributed
    from saev.machine.machine import use_bf16

    options = plain(cfg.extract)
    also = options.pop("also_layers") or []
    if not isinstance(also, list):
        raise SaevError(f"extract.also_layers must be a list of layers, got {also!r}")
    layers = list(dict.fromkeys([cfg.backbone.layer, *also]))
    recording = Recording(**options)
    if cfg.workers is not None:
        check_int("workers", cfg.workers, low=0)
    device = launch(cfg)
    backbone = build(cfg.backbone, "layer")
    metrics = {}
    for split, source in plain(cfg.data.splits).items():
        images = build(cfg.data, "splits", **source)
        # Where the values would differ the work starts anew.
        identity = {
            **options,
            "layers": layers,
            "weights": backbone.weights_hash(),
            "data": images.fingerprint,
            "bf16": use_bf16(cfg.machine.precision, device),
        }
        working = scratch("extract", identity)
        store = record(
            backbone,
            images,
            cfg.acts[split],
            layers=layers,
            working=working,
            options=recording,
            workers=cfg.workers,
            precision=cfg.machine.precision,
            device=device,
        )
        labelled = float((store.patch_labels() != IGNORE).mean())
        metrics[split] = {
            "images": store.n_images,
            "missing": len(store.attrs["missing"]),
            "labelled_patches": labelled,
            "layers": store.attrs["stats"],
        }
        if distributed.rank() == 0:
            working.rmdir()
    if distributed.rank() == 0:
        write_json(f"{cfg.results.extract}.json", metrics)


if __name__ == "__main__":
    main()
