"""everything -> one page: figures across SAEs, and `report/index.html`."""

import json
import shutil
from itertools import product
from pathlib import Path

from omegaconf import DictConfig

from pipeline.stage import stage


def read(path: str) -> dict | list:
    """A stage's JSON."""
    return json.loads(Path(path).read_text())


@stage("report")
def main(cfg: DictConfig) -> None:
    import numpy as np

    from saev.files import new_directory
    from saev.report import density_histogram, frontier, loss_curves, save, write_report

    with new_directory(cfg.out) as out:
        cells = []
        for data, backbone in product(cfg.study.data, cfg.study.backbones):
            cell = f"{data}-{backbone}"
            saes = {name: f"{cell}-{name}" for name in cfg.study.saes}
            save(
                loss_curves([p for s in saes.values() for p in read(f"results/train/{s}/curve.json")]),
                out / cell / "loss.png",
            )
            save(
                frontier([p for s in saes.values() for p in read(f"results/train/{s}/frontier.json")]),
                out / cell / "frontier.png",
            )
            densities = {name: np.array(read(f"data/sae/{s}/density.json")) for name, s in saes.items()}
            save(density_histogram(densities), out / cell / "density.png")
            for name, s in saes.items():
                (out / cell / name).mkdir()
                for figure in (
                    *Path(f"results/probe/{s}").glob("*.png"),
                    *Path(f"results/intervene/{s}").glob("*.png"),
                ):
                    shutil.copy(figure, out / cell / name)
            cells.append(
                {
                    "name": cell,
                    "data": data,
                    "backbone": backbone,
                    "extract": read(f"results/extract/{cell}.json"),
                    "head": read(f"results/head/{cell}.json"),
                    "saes": [
                        {
                            "name": name,
                            "train": read(f"results/train/{s}/metrics.json"),
                            "probe": read(f"results/probe/{s}/metrics.json"),
                            "curves": read(f"results/intervene/{s}/outcome.json")["curves"],
                        }
                        for name, s in saes.items()
                    ],
                }
            )
        write_report(out / "index.html", cells=cells)


if __name__ == "__main__":
    main()
