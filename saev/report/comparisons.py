"""Cells of a study held against each other, as the page tells it."""

from saev.report.page import fixed
from saev.report.results import Results
from saev.report.tables import listed

VERDICTS = ("only here", "more here", "alike", "unsettled", "more there", "only there")


def gather_comparisons(results: Results, untrained: list[str]) -> list[dict]:
    """The records of the stage compare, each with its picture and what it tells in a sentence.

    Args:
        untrained: the backbones that have random weights.

    Raises:
        SaevError: a file is missing or damaged.
    """
    records = results.read("compare", "", "compare.json")["compared"]
    for record in records:
        record["picture"] = results.picture("compare", "", record["picture"])
        record |= told(record, untrained)
        for row in record["concepts"]:
            row["verdict"] = words(row["verdict"], record)
    return records


def told(record: dict, untrained: list[str]) -> dict:
    """What a comparison tells: {sentence, untrained: whether one side has learnt nothing}."""
    here, there = (_side(record, side) for side in ("here", "there"))
    same = [f"{key} {value}" for key, value in record["here"].items() if key != record["differs"]]
    mean, kind = record["mean"], record["kind"]
    interval = "" if mean["low"] is None else f" [{fixed(mean['low'])}, {fixed(mean['high'])}]"
    counts = [
        f"{n} {words(verdict, record)}" for verdict in VERDICTS if (n := record["verdicts"].get(verdict))
    ]
    random = [name for name in (here, there) if record["differs"] == "backbone" and name in untrained]
    learnt = f" ({listed(random)} has random weights)" if random else ""
    sentence = (
        f"{', '.join(same)}: mean F1 of all {kind} in {here} minus that in {there}{learnt}: "
        f"{fixed(mean['difference'])}{interval}; of {len(record['concepts'])} {kind} {listed(counts)}."
    )
    return {"sentence": sentence, "untrained": bool(random)}


def words(verdict: str, record: dict) -> str:
    """A verdict with the names of the sides: "only here" is "only in vit"."""
    how, *where = verdict.split()
    return f"{how} in {_side(record, where[0])}" if where else how


def _side(record: dict, side: str) -> str:
    """What a cell is called: its backbone or SAE, or "layer 4"."""
    name = str(record[side][record["differs"]])
    return f"layer {name}" if record["differs"] == "layer" else name
