"""everything -> one page: figures across SAEs, and `report/index.html`."""

import json
import shutil
from collections.abc import Iterator
from itertools import chain

from omegaconf import DictConfig

from pipeline.cell import grid
from pipeline.facts.configuration import read as read_yaml
from pipeline.stage import conf_folder, stage
from saev.checks import check_path

FILES = {
    r"index\.html": "sparse autoencoders</title>",
    r"[^/]+/L[^/]+/([^/]+/)?[^/]+\.(svg|png)": None,
    r"(compare/[^/]+|verdicts)\.(svg|png)": None,
}

STAGES = (
    *("extract", "head", "train", "floors", "features", "evaluate", "probe", "contrast", "causes"),
    *("counterfactual", "intervene", "compare", "hypotheses", "verdicts"),
)
"""Those whose parameters the page tells."""


@stage("report")
def main(cfg: DictConfig) -> None:
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.report import (
        Results,
        conclusions,
        density_histogram,
        frontier,
        gains_over_floors,
        gather,
        gather_comparisons,
        gather_verdicts,
        loss_curves,
        save,
        write_report,
    )

    check_path("out", cfg.out)
    study, results = grid(), Results()
    stores = gather(results, study)
    comparisons = gather_comparisons(results, study.get("untrained", []))
    verdicts = gather_verdicts(results)
    with new_directory(cfg.out, FILES) as out:
        for layer in (layer for store in stores for layer in store["layers"]):
            folder, saes = out / layer["folder"], layer["saes"]
            save(loss_curves([point for sae in saes for point in sae["curve"]]), folder / "loss.svg")
            if len(saes) > 1:
                save(frontier([sae["frontier"] for sae in saes]), folder / "frontier.svg")
            save(density_histogram({sae["name"]: sae["density"] for sae in saes}), folder / "density.svg")
            for sae in saes:
                (folder / sae["name"]).mkdir()
                if sae["floors"]:
                    save(gains_over_floors(sae["floors"]), folder / sae["name"] / "floors.svg")
                for picture in chain(*sae["pictures"].values()):
                    shutil.copyfile(picture, folder / sae["name"] / picture.name)
        (out / "compare").mkdir()
        for record in comparisons:
            shutil.copyfile(record["picture"], out / "compare" / record["picture"].name)
        if verdicts:
            shutil.copyfile(results.picture("verdicts", "", "verdicts.svg"), out / "verdicts.svg")
        write_report(
            out / "index.html",
            stores=stores,
            comparisons=comparisons,
            verdicts=verdicts,
            conclusions=conclusions(stores, verdicts),
            parameters=parameters(study),
        )
    say(f"report: {cfg.out}/index.html")


def parameters(study: dict) -> dict[str, dict[str, str]]:
    """What each stage's own file of conf/ says, then those of the study's parts: {file: {key: value}}."""
    parts = {"data": study["data"], "backbone": study["backbones"], "sae": study["saes"]}
    parts["trainer"] = [study["trainer"]] if "trainer" in study else []
    named = [f"{group}/{name}" for group, names in parts.items() for name in names]
    conf = conf_folder("report")
    # A part that was named on the command line alone has no file.
    return {
        file: dict(flat({key: value for key, value in read_yaml(path).items() if key != "defaults"}))
        for file in [*STAGES, *named]
        if (path := conf / f"{file}.yaml").is_file()
    }


def flat(options: dict, above: str = "") -> Iterator[tuple[str, str]]:
    """Every option of a section and its sections, by its name from the top, as YAML has it."""
    for key, value in options.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
