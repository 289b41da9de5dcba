"""activations -> SAEs: train one SAE, those listed `beside` it, and the cells `together` with it, on one stream; measure each."""

import shutil
from itertools import accumulate, pairwise
from pathlib import Path

from omegaconf import DictConfig

from pipeline.stage import build, compose_again, machine, places, plain, rich_progress, stage
from saev.errors import SaevError

FIDELITY_IMAGES = 100
"""Validation images on which downstream fidelity is measured."""


@stage("train")
def main(cfg: DictConfig) -> None:
    cells = [cfg, *(compose_again("train", sae=name) for name in listed(cfg, "together", str))]
    folders = [str(Path(cell.sae_dir).parent) for cell in cells]
    if len(set(folders)) < len(cells):
        raise SaevError(f"together: every SAE needs a name and a folder of its own, got {', '.join(folders)}")
    changes = [[{}, *listed(cell.sae, "beside", dict)] for cell in cells]
    architectures = [
        build(cell.sae, "beside", **change)
        for cell, own in zip(cells, changes, strict=True)
        for change in own
    ]

    from saev.activations import Store
    from saev.data import IGNORE
    from saev.evaluation import evaluate, fidelity
    from saev.files import scratch
    from saev.tasks import Predictor, load_head
    from saev.training import Training, fit

    train, val = Store(cfg.acts.train), Store(cfg.acts.val)
    train.check_same_model(val)
    labelled = bool((val.patch_labels() != IGNORE).any())
    head = (
        load_head(cfg.head_file, val) if labelled else None
    )  # without labels there is no head to be faithful to
    layer = train.layer(cfg.backbone.layer)
    working = scratch(
        "train",
        {
            "sae": [plain(cell.sae) for cell in cells],
            "trainer": plain(cfg.trainer),
            "seed": cfg.seed,
            "layer": layer,
            "store": [train.attrs["data"], train.attrs["weights"], train.attrs["stats"]],
            "parallel": cfg.machine.parallel,
        },
    )
    saes, curve = fit(
        architectures,
        train,
        layer=layer,
        options=Training(**plain(cfg.trainer)),
        seed=cfg.seed,
        working=working,
        parallel=cfg.machine.parallel,
        progress=rich_progress(),
        **places(cfg),
    )
    if not saes:
        return  # what follows is the first process's work

    on = machine(cfg)
    on_val, on_train = (
        evaluate(saes, store, layer, max_images=val.n_images, device=on["device"]) for store in (val, train)
    )
    predict = (
        Predictor(build(cfg.backbone, "layer"), head, val, layer, FIDELITY_IMAGES, **on) if head else None
    )
    ends = accumulate(map(len, changes), initial=0)
    for cell, (first, last) in zip(cells, pairwise(ends), strict=True):
        here = slice(first, last)
        measured = [
            {"val": v, "train": t} for (v, _), (t, _) in zip(on_val[here], on_train[here], strict=True)
        ]
        if predict:
            measured[0]["fidelity"] = fidelity(saes[first], predict)
        points = [{**point, "sae": point["sae"] - first} for point in curve if first <= point["sae"] < last]
        facts = {
            "backbone": train.attrs["backbone"],
            "weights": train.attrs["weights"],
            "layer": layer,
            "data": train.attrs["data"],
        }
        write(cell, saes[here], measured, on_val[first][1].tolist(), points, facts)
    shutil.rmtree(working)


def listed(node: DictConfig, key: str, kind: type) -> list:
    """A list of the configuration, empty if it is not there."""
    value = plain(node).get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise SaevError(f"{key} must be a list of {'changes' if kind is dict else 'names'}, got {value!r}")
    return value


def write(
    cell: DictConfig, saes: list, measured: list[dict], density: list[float], curve: list[dict], facts: dict
) -> None:
    """The files of one cell of the study."""
    from saev.files import new_directory, write_json
    from saev.sae import save_sae

    names = [cell.sae.name, *(f"{cell.sae.name} beside {i}" for i in range(1, len(saes)))]
    with new_directory(Path(cell.sae_dir).parent) as out:
        for i, (sae, metrics) in enumerate(zip(saes, measured, strict=True)):
            save_sae(sae, out / (f"beside/{i}" if i else "sae"), **facts, metrics=metrics)
        write_json(out / "density.json", density)
    write_json(f"{cell.results.train}/curve.json", [{**point, "sae": names[point["sae"]]} for point in curve])
    frontier = [
        {"sae": cell.sae.name, **{key: m["val"][key] for key in ("nmse", "l0", "dead")}} for m in measured
    ]
    write_json(f"{cell.results.train}/frontier.json", frontier)
    write_json(f"{cell.results.train}/metrics.json", measured[0])


if __name__ == "__main__":
    main()
