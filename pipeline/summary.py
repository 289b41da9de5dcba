"""The cell in a few telling numbers: what `dvc metrics show` lists and runs are compared by."""

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import stage

PLACE = "all"
"""Where the edits act whose selectivity is quoted: the one place that knows nothing of labels."""


@stage("summary")
def main(cfg: DictConfig) -> None:
    from saev.files import read_json, write_json
    from saev.outputs import staged

    cell = Cell(cfg)
    scores, probe, edits = (
        read_json(cell.results(stage) / "metrics.json") for stage in ("evaluate", "probe", "intervene")
    )
    gains = [
        row["gain"]
        for row in read_json(cell.results("probe") / "floors.json")
        if row["of"] == "classes" and row["gain"] is not None and not row["floor"].startswith("seed")
    ]
    arms = {method: places.get(PLACE, {}) for method, places in (edits or {}).items()}
    controls = [arm["selectivity"] for method, arm in arms.items() if method != "chosen_latent" and arm]
    with staged((cfg.results.summary, {"": '"gain"'})) as (output,):
        row = {
            "l0": round(scores["val"]["l0"], 1),
            "nmse": round(scores["val"]["nmse"], 4),
            "dead": round(scores["val"]["dead"], 4),
            "dense": round(scores["val"]["dense"], 4),
            "recov": rounded((scores["fidelity"] or {}).get("recovered")),
            "f1": rounded(probe["f1"]),
            "gain": rounded(min(gains, default=None)),
            "select": rounded(arms.get("chosen_latent", {}).get("selectivity")),
            "control": rounded(max(controls, default=None)),
        }
        write_json(output.path, row)


def rounded(value: float | None) -> float | None:
    """To three places; None stays None."""
    return None if value is None else round(value, 3)


if __name__ == "__main__":
    main()
