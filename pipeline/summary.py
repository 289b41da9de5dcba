"""The cell in a few telling numbers: what `dvc metrics show` lists and runs are compared by."""

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import stage

PLACE = "all"
"""Where the edits act whose effect is quoted: the one place that knows nothing of labels."""


@stage("summary")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.outputs import staged
    from saev.report.records import EDITS
    from saev.report.results import read_record

    cell = Cell(cfg)
    scores, probe = (
        read_record(cell.results(stage) / "metrics.json", stage) for stage in ("evaluate", "probe")
    )
    edits = read_record(cell.results("intervene") / "metrics.json", "intervene", EDITS)
    gains = [
        row["gain"]
        for row in read_record(cell.results("probe") / "floors.json", "probe")
        if row["of"] == "classes" and row["gain"] is not None and not row["seed"]
    ]
    edit = (edits or {}).get("chosen_latent", {}).get(PLACE, {})
    with staged((cfg.results.summary, {"": '"gain"'})) as (output,):
        row = {
            "l0": round(scores["val"]["l0"], 1),
            "nmse": round(scores["val"]["nmse"], 4),
            "dead": round(scores["val"]["dead"], 4),
            "dense": round(scores["val"]["dense"], 4),
            "recov": rounded((scores["fidelity"] or {}).get("recovered")),
            "f1": rounded(probe["f1"]),
            "gain": rounded(min(gains, default=None)),
            "effect": rounded(edit.get("effect")),
            "control": rounded(edit.get("control_target")),
        }
        write_json(output.path, row)


def rounded(value: float | None) -> float | None:
    """To three places; None stays None."""
    return None if value is None else round(value, 3)


if __name__ == "__main__":
    main()
