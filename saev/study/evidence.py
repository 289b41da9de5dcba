"""The records of a cell, by latent. Stages that have not run say nothing."""

from pathlib import Path
from typing import Any

from saev.atlas import told_of
from saev.report import Results

KINDS = ("classes", "concepts")
"""Of what the probe chooses latents for."""
OF_REPRODUCTION = ("name", "method", "strength", "pairs", "share", "r")


def read_evidence(folder: str | Path, cell: str) -> dict[int, dict]:
    """{latent: its records}: those of the atlas (`saev.atlas.told`), and `reproduced`, {attribute: rows}:
    what edits do of what the image's own change does, first of the chosen latent, then of controls.

    Args:
        folder: of the study.

    Raises:
        SaevError: a record is damaged.
    """

    def read(stage: str, file: str) -> Any:
        there = Path(folder, "results", stage, cell, file).is_file()
        return (Results(folder).read(stage, cell, file) if there else None) or {}

    matches = {kind: list(read("probe", f"{kind}.json")) for kind in KINDS}
    told = told_of(
        matches,
        read("intervene", "outcome.json").get("classes", []),
        read("causes", "causes.json").get("causes", []),
        list(read("causes", "agreement.json")),
        {},
    )
    chosen = {row["name"]: row["latent"] for row in matches["concepts"]}
    for row in read("counterfactual", "counterfactual.json").get("attributes", []):
        if row["name"] in chosen and row.get("share") is not None:
            reproduced = told[chosen[row["name"]]].setdefault("reproduced", {})
            rows = reproduced.setdefault(row["name"], [])
            at = 0 if row["method"] == "chosen latent" else len(rows)
            rows.insert(at, {key: row[key] for key in OF_REPRODUCTION})
    for of in told.values():  # controls alone are evidence of nothing
        kept = {name: rows for name, rows in of.get("reproduced", {}).items() if _of_chosen(rows)}
        of.update({"reproduced": kept} if "reproduced" in of else {})
    return told


def _of_chosen(rows: list[dict]) -> bool:
    return rows[0]["method"] == "chosen latent"
