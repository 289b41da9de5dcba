"""activations -> SAEs: train one SAE, and those listed `beside` it, on one stream; measure each."""

import shutil
from pathlib import Path

from omegaconf import DictConfig

from pipeline import build, machine, places, plain, rich_progress, stage

FIDELITY_IMAGES = 100
"""Validation images on which downstream fidelity is measured."""


@stage("train")
def main(cfg: DictConfig) -> None:
    architectures = [build(cfg.sae, "beside", **change) for change in [{}, *plain(cfg.sae).get("beside", [])]]

    from saev import distributed
    from saev.activations import Store
    from saev.data import IGNORE
    from saev.files import new_directory, scratch, write_json
    from saev.intervention import Predictor, fidelity, load_head
    from saev.sae import save_sae
    from saev.training import Training, evaluate, fit

    train, val = Store(cfg.acts.train), Store(cfg.acts.val)
    train.check_same_model(val)
    labelled = bool((val.patch_labels() != IGNORE).any())
    head = load_head(cfg.head_file, val) if labelled else None  # without labels there is no head to be faithful to
    options = Training(**plain(cfg.trainer))
    layer = train.layer(cfg.backbone.layer)
    working = scratch("train", {"sae": plain(cfg.sae), "trainer": plain(cfg.trainer), "seed": cfg.seed, "layer": layer,
                                "store": [train.attrs["data"], train.attrs["weights"], train.attrs["stats"]]})  # fmt: skip
    saes, curve = fit(architectures, train, layer=layer, options=options, seed=cfg.seed, working=working,
                      progress=rich_progress(), **places(cfg))  # fmt: skip

    if distributed.rank() > 0:
        return  # what follows is one process's work

    measured, densities = [], []
    for sae in saes:
        on_val, density = evaluate(sae, val, layer)
        on_train, _ = evaluate(sae, train, layer, max_images=val.n_images)
        measured.append({"val": on_val, "train": on_train})
        densities.append(density)
    if head is not None:
        predict = Predictor(build(cfg.backbone, "layer"), head, val, layer, FIDELITY_IMAGES, **machine(cfg))
        measured[0]["fidelity"] = fidelity(saes[0], predict)

    names = [cfg.sae.name, *(f"{cfg.sae.name} beside {i}" for i in range(1, len(saes)))]
    with new_directory(Path(cfg.sae_dir).parent) as out:
        for i, (sae, metrics) in enumerate(zip(saes, measured, strict=True)):
            save_sae(sae, out / (f"beside/{i}" if i else "sae"), backbone=train.attrs["backbone"], weights=train.attrs["weights"],
                     layer=layer, data=train.attrs["data"], metrics=metrics)  # fmt: skip
        write_json(out / "density.json", densities[0].tolist())
    write_json(f"{cfg.results.train}/curve.json", [{**point, "sae": names[int(point["sae"])]} for point in curve])
    frontier = [{"sae": cfg.sae.name, **{key: m["val"][key] for key in ("nmse", "l0", "dead")}} for m in measured]
    write_json(f"{cfg.results.train}/frontier.json", frontier)
    write_json(f"{cfg.results.train}/metrics.json", measured[0])
    shutil.rmtree(working)


if __name__ == "__main__":
    main()
