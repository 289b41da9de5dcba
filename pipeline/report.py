"""everything -> one page: figures across SAEs, and `report/index.html`."""

import shutil
from itertools import chain

from omegaconf import DictConfig

from pipeline.cell import grid
from pipeline.stage import stage
from saev.checks import check_path

FILES = {r"index\.html": "sparse autoencoders</title>", r"[^/]+/L[^/]+/([^/]+/)?[^/]+\.png": None}


@stage("report")
def main(cfg: DictConfig) -> None:
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.report import (
        Results,
        against_untrained,
        density_histogram,
        frontier,
        gains_over_floors,
        gather,
        loss_curves,
        save,
        write_report,
    )

    check_path("out", cfg.out)
    stores = gather(Results(), grid())
    with new_directory(cfg.out, FILES) as out:
        for layer in (layer for store in stores for layer in store["layers"]):
            folder, saes = out / layer["folder"], layer["saes"]
            save(loss_curves([point for sae in saes for point in sae["curve"]]), folder / "loss.png")
            if len(saes) > 1:
                save(frontier([sae["frontier"] for sae in saes]), folder / "frontier.png")
            save(density_histogram({sae["name"]: sae["density"] for sae in saes}), folder / "density.png")
            for sae in saes:
                (folder / sae["name"]).mkdir()
                if sae["floors"]:
                    save(gains_over_floors(sae["floors"]), folder / sae["name"] / "floors.png")
                for picture in chain(*sae["pictures"].values()):
                    shutil.copyfile(picture, folder / sae["name"] / picture.name)
        write_report(out / "index.html", stores=stores, untrained=against_untrained(stores))
    say(f"report: {cfg.out}/index.html")


if __name__ == "__main__":
    main()
