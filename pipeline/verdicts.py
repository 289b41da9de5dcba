"""all evidence -> verdicts: each hypothesis supported, refuted or neither, among all that were tested."""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pipeline.cell import grid
from pipeline.stage import stage
from saev.checks import check_path, check_seed
from saev.errors import SaevError

if TYPE_CHECKING:  # numpy and sklearn are loaded by the stage alone
    from saev.hypotheses import Evidence, Hypothesis

RESULTS = {r"verdicts\.json": '"verdicts"', r"metrics\.json": None, r"verdicts\.(svg|png)": None}
"""The files of its results, as `saev.outputs` knows them."""
AXES = ("data", "backbones", "layers", "saes")
VERDICTS = ("supported", "refuted", "inconclusive")


@stage("verdicts")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.hypotheses import judge, read_hypotheses, read_ledger, standing
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.report import save, verdicts_plot

    for key in ("folder", "ledger", "out"):
        check_path(key, cfg[key])
    study = grid()
    cells = ["{}-{}-L{}-{}".format(*cell) for cell in product(*(study[axis] for axis in AXES))]
    seed, hypotheses, lines = check_seed(cfg.seed), read_hypotheses(cfg.folder), read_ledger(cfg.ledger)
    found = [evidence_for(of, cells) for of in hypotheses]
    standings = [standing(of, lines) for of in hypotheses]
    for of, (evidence, _), stood in zip(hypotheses, found, standings, strict=True):
        if evidence is not None and stood.registered is None:  # it is written down before it is tested
            raise SaevError(
                f"{cfg.ledger}: lacks the registration of {of.name}, which has been tested; restore the file "
                "from version control, or run the hypotheses stage again"
            )
    verdicts = judge(hypotheses, [evidence for evidence, _ in found], standings, seed=seed)
    rows = [
        {**told(of), **verdict.row(), "note": note}
        for of, verdict, (_, note) in zip(hypotheses, verdicts, found, strict=True)
    ]
    counts = Counter(row["verdict"] for row in rows)
    with new_directory(cfg.out, RESULTS) as out:
        write_json(out / "verdicts.json", {"verdicts": rows})
        write_json(out / "metrics.json", {verdict: counts[verdict] for verdict in VERDICTS})
        save(verdicts_plot(rows), out / "verdicts.svg")
    say(f"verdicts: {', '.join(f'{counts[verdict]} {verdict}' for verdict in VERDICTS)}; in {cfg.out}")


def evidence_for(of: "Hypothesis", cells: list[str]) -> "tuple[Evidence | None, str | None]":
    """What its cell says of a hypothesis, or why nothing.

    Raises:
        SaevError: the evidence is of the file as it was before, or damaged.
    """
    from saev.files import read_json
    from saev.hypotheses import Evidence, fingerprint

    file = Path("results/hypotheses", of.cell, "evidence.json")
    if of.cell not in cells:
        return None, "the study has no such cell"
    again = f"{file}: not of {of.name} as it is now; run the hypotheses stage again"
    record = read_json(file, "hypotheses stage")
    try:
        record = record["tested"][of.name]
        if record["sha256"] != fingerprint(of):
            raise SaevError(again)
        if record["evidence"] is None:
            return None, record["note"]
        return Evidence.of(record["evidence"]), None
    except (KeyError, TypeError, ValueError):
        raise SaevError(again) from None


def told(of: "Hypothesis") -> dict:
    """What was predicted, of its file."""
    keys = ("claim", "cell", "concept", "measure", "edit", "strength", "control", "direction", "smallest")
    return {key: getattr(of, key) for key in (*keys, "margin", "split", "independent")}


if __name__ == "__main__":
    main()
