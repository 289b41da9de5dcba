"""What the records of a study say of a latent, in sentences."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from saev.report.page import fixed, percent, signed

if TYPE_CHECKING:
    from saev.study.feature import Feature

CONTROLS = ("random latent", "random direction")


def headline(of: "Feature") -> str:
    """A latent in a line."""
    if not of.maximum:
        return f"{of.latent}: dead, it fires on no training token"
    name = f", {of.concept}" if of.concept else ""
    return f"{of.latent}{name}: fires on {percent(of.density)} of training tokens, at most {of.maximum:.1f}"


def sentences(told: dict) -> list[str]:
    """Of what `saev.study.evidence` gives of a latent: what it detects, whether it goes out with its concept,
    and what editing it does, with controls; none where no stage has looked at it."""
    by_doubt = sorted(told.get("concepts", ()), key=lambda row: (not row["claimed"], -row["f1"]))
    found = [_detects(row) for row in by_doubt]
    found += [_goes_out(row) for row in told.get("agreement", ()) if row["drop"] is not None]
    found += [_reproduces(rows) for rows in told.get("reproduced", {}).values()]
    return [*found, *_changes(told)]


def _detects(row: dict) -> str:
    interval = "" if row["low"] is None else f" [{fixed(row['low'])}, {fixed(row['high'])}]"
    chance = "" if row["null"] is None else f", by chance {fixed(row['null'])}"
    q = "" if row["q"] is None else f", q {row['q']:.2g}"
    doubt = "" if row["claimed"] else ": no better than chance"
    return f"{row['name']} ({row['kind']}): F1 {fixed(row['f1'])}{interval}{chance}{q}{doubt}"


def _goes_out(row: dict) -> str:
    other = "" if row["control"] is None else f", by {percent(row['control'], 0)} where another one is"
    q = "" if row["q"] is None else f" (q {row['q']:.2g} that it goes out with it alone)"
    return (
        f"where {row['name']} is taken out of the image its code falls by {percent(row['drop'], 0)}{other}{q}"
    )


def _reproduces(rows: list[dict]) -> str:
    chosen = rows[0]
    controls = [f"{row['method']} {percent(row['share'], 0)}" for row in rows if row["method"] in CONTROLS]
    beside = f"; {', '.join(controls)}" if controls else ""
    return (
        f"set to {signed(chosen['strength'])} x its maximum it does {percent(chosen['share'], 0)} of what "
        f"taking {chosen['name']} out of the image does ({_counted(chosen['pairs'], 'pair')}{beside})"
    )


def _changes(told: dict) -> Iterator[str]:
    """Of the edits of a class on all patches, the strongest, which claims are made of."""
    for name, every in told.get("edits", {}).items():
        rows = [row for row in every if row["place"] == "all"]
        strongest = max((row["strength"] for row in rows), key=abs, default=0)
        at = {row["method"]: row for row in rows if row["strength"] == strongest}
        if "chosen latent" not in at:
            continue
        chosen = at["chosen latent"]
        controls = [f"{of} {percent(at[of]['target'], 0)}" for of in CONTROLS if of in at]
        beside = f"; {', '.join(controls)}" if controls else ""
        yield (
            f"set to {signed(strongest)} x its maximum everywhere it changes the answer on "
            f"{percent(chosen['target'], 0)} of what is {name} and {percent(chosen['other'], 0)} of all else "
            f"({_counted(chosen['images'], 'image')}{beside})"
        )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
