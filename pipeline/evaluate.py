"""SAE -> scores: how well it reconstructs, how sparsely, and whether the task survives what it leaves out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import read, stage
from saev.checks import COUNT, Options, check_seed

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.evaluation import Reconstruction

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
    asked = cell.opened(options.fidelity_images, seed, task) if task and val.of_model else None
    floors = {f"{cfg.floors_dir}/{floor}": of for floor, of in cell.floors.items()}
    with new_directory(results, RESULTS) as out:
        on_val = measure_reconstruction({name: sae, **floors}, val, device=device)
        images = train.store.drawn(options.train_images, seed)
        on_train = measure_reconstruction({name: sae}, train, images=images, device=device)[name]
        faithful = measure_fidelity(sae, asked, val) if asked else None
        mine = on_val.pop(name)
        write_json(out / "density.json", np.asarray(mine.density).tolist())
        rows = [
            {"floor": (floor := Path(where).name), "seed": floor in cell.seeds, **against(mine, found)}
            for where, found in on_val.items()
        ]
        scores = {"val": mine.metrics, "train": on_train.metrics, "fidelity": faithful}
        write_json(out / "metrics.json", {**scores, "stability": stability(cell), "floors": rows})
    recovered = f", {faithful['recovered']:.1%} of the task recovered" if faithful else ""
    say(f"evaluate: NMSE {mine.metrics['nmse']:.3f} at L0 {mine.metrics['l0']:.1f}{recovered}; in {results}")


def against(mine: "Reconstruction", floor: "Reconstruction") -> dict:
    """What a floor reaches, and by how much the SAE's error is smaller, over the same images."""
    from saev.evaluation import nmse_difference

    less = nmse_difference(floor, mine)
    of_floor = {key: floor.metrics[key] for key in ("nmse", "l0", "dead", "dense", "coherence")}
    return {**of_floor, "gain": less.value, "low": less.low, "high": less.high}


def stability(cell: Cell) -> dict | None:
    """Whether other seeds find the same latents; None where none was trained."""
    from saev.evaluation import measure_stability

    if not cell.seeds:
        return None
    found = measure_stability(cell.sae, [cell.floors[name] for name in cell.seeds])
    mean = float(found.cosine_s.mean())
    return {"cosine": mean, "null": found.null, "share": found.share, "overlap": found.overlap}


if __name__ == "__main__":
    main()
