"""SAE -> scores: how well it reconstructs, how sparsely, and whether the task survives what it leaves out."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import read, stage
from saev.checks import COUNT, Options, check_seed

RESULTS = {r"metrics\.json": '"explained_variance"', r"density\.json": None}
"""The files of its results, as `saev.outputs` knows them."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Options, section="evaluate"):
    """What is measured on how much."""

    train_images: Annotated[int, COUNT]
    fidelity_images: Annotated[int, COUNT]


@stage("evaluate")
def main(cfg: DictConfig) -> None:
    from saev.evaluation import measure_fidelity, measure_reconstruction
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import new_directory

    cell, options, seed = Cell(cfg), read(Evaluation, cfg.evaluate), check_seed(cfg.seed)
    val, train, device, sae = cell.tokens("val"), cell.tokens("train"), cell.machine.device, cell.sae
    task, results, name = cell.task, cell.results("evaluate"), cfg.sae_dir
    with new_directory(results, RESULTS) as out:
        on_val, density = measure_reconstruction({name: sae}, val, device=device)[name]
        images = train.store.drawn(options.train_images, seed)
        on_train, _ = measure_reconstruction({name: sae}, train, images=images, device=device)[name]
        faithful = None
        if task and val.of_model:
            faithful = measure_fidelity(sae, cell.opened(options.fidelity_images, seed), val)
        write_json(out / "density.json", np.asarray(density).tolist())
        write_json(out / "metrics.json", {"val": on_val, "train": on_train, "fidelity": faithful})
    recovered = f", {faithful['recovered']:.1%} of the task recovered" if faithful else ""
    say(f"evaluate: NMSE {on_val['nmse']:.3f} at L0 {on_val['l0']:.1f}{recovered}; in {results}")


if __name__ == "__main__":
    main()
