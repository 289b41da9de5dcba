"""What the records of a study say of single latents."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from saev.probing.match import CLAIMED

OF_MATCH = ("name", "f1", "low", "high", "q", "f1_train", "threshold", "units", "images", "clusters", "folds")
OF_EDIT = ("method", "place", "strength", "target", "other", "images")
OF_CAUSE = ("image", "code", "agreement", "elsewhere", "beyond")
OF_AGREEMENT = ("name", "pairs", "photographs", "drop", "control", "outside", "agreement", "null", "q")


def told_of(
    matches: Mapping[str, list[dict]],
    edited: Iterable[dict],
    caused: Iterable[dict],
    agreed: Iterable[dict],
    notes: Mapping[int, str],
) -> dict[int, dict]:
    """{latent: its records}.

    Args:
        matches: the rows of the probe, by kind of concept.
        edited: the rows of each class of the outcome of edits, of the latents chosen for `classes`.
        caused, agreed: of the causes stage.
        notes: what people have noted of latents.
    """
    told: dict[int, dict] = defaultdict(dict)
    chosen = {row["name"]: row["latent"] for row in matches.get("classes", [])}
    for kind, rows in matches.items():
        for row in rows:
            claimed = row.get("q") is not None and row["q"] <= CLAIMED
            more = {"kind": kind, "null": row.get("shuffled"), "claimed": claimed}
            told[row["latent"]].setdefault("concepts", []).append(_some(row, OF_MATCH) | more)
    for row in edited:
        if row["class"] in chosen and row.get("target") is not None:
            edits = told[chosen[row["class"]]].setdefault("edits", {})
            edits.setdefault(row["class"], []).append(_some(row, OF_EDIT))
    for row in caused:
        maps = {key: _numbers(row.get(key)) for key in ("fires", "effect")}
        told[row["latent"]].setdefault("causes", []).append(_some(row, OF_CAUSE) | maps)
    for row in agreed:
        told[row["latent"]].setdefault("agreement", []).append(_some(row, OF_AGREEMENT))
    for latent, note in notes.items():
        told[latent]["note"] = note
    return dict(told)


def _numbers(rows: list[str] | None) -> list[list[float]] | None:
    """A map that was written as text, line by line."""
    return None if rows is None else [[float(value) for value in row.split()] for row in rows]


def _some(row: dict, keys: tuple[str, ...]) -> dict:
    return {key: row.get(key) for key in keys}
