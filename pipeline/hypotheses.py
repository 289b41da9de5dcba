"""predictions -> evidence: the hypotheses of a cell are registered, and then tested as they say."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import plain, stage
from pipeline.tested import evidence_of
from saev.checks import check_path, check_seed

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.hypotheses import Hypothesis

RESULTS = {r"evidence\.json": '"tested"'}
"""The files of its results, as `saev.outputs` knows them."""
HOME = Path(__file__).parents[1]


@stage("hypotheses")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.hypotheses import open_sealed, read_hypotheses, register
    from saev.machine.progress import say
    from saev.outputs import new_directory

    for key in ("folder", "ledger"):
        check_path(key, cfg[key])
    cell, seed, results = Cell(cfg), check_seed(cfg.seed), Cell(cfg).results("hypotheses")
    mine = [of for of in read_hypotheses(cfg.folder) if of.cell == cfg.cell]
    sealed = [of for of in mine if of.split == "sealed"]
    with new_directory(results, RESULTS) as out:
        if mine:  # before any outcome is read
            code = code_of(cfg)
            register(cfg.ledger, mine, code)
            if sealed:
                open_sealed(cfg.ledger, cfg.cell, sealed, code)
        write_json(out / "evidence.json", {"tested": {of.name: tested(cell, of, seed) for of in mine}})
    say(f"hypotheses: {len(mine)} tested, {len(sealed)} on the sealed split; in {results}")


def code_of(cfg: DictConfig) -> str:
    """A hash of the code that tests hypotheses of this cell, and of the parts that it names."""
    from pipeline.facts.closure import Closure
    from pipeline.facts.configuration import strings, targets
    from pipeline.facts.graph import Code

    composed = plain(cfg)
    roots = ["pipeline.hypotheses.main", *sorted(targets([composed]))]
    return Closure(Code(str(HOME)), roots, strings([composed])).digest


def tested(cell: Cell, of: "Hypothesis", seed: int) -> dict:
    """What the cell says of a hypothesis, or why nothing, with what was tested."""
    from saev.hypotheses import Untestable, fingerprint

    record = {"sha256": fingerprint(of), "note": None, "evidence": None}
    try:
        found = evidence_of(cell, of, seed)
    except Untestable as error:
        return record | {"note": str(error)}
    sums = {key: None if of is None else of.tolist() for key, of in found._asdict().items()}
    return record | {"evidence": sums}


if __name__ == "__main__":
    main()
