"""Matches on disk, with what comparisons of them need."""

from pathlib import Path

import numpy as np

from saev.arrays import load_arrays, save_arrays
from saev.files import write_by
from saev.probing.match import Match

FILES = {r"matches\.safetensors": '"saev"'}
"""By which a folder of them is known (saev/outputs.py)."""


def save_matches(found: dict[str, list[Match]], path: str | Path) -> None:
    """Write the matches of each kind of concept, their rows as text and their sums as arrays."""
    arrays = {}
    for kind, matches in found.items():
        if matches:
            arrays[f"{kind}/cluster_g"] = matches[0].cluster_g.astype(np.int64)
            arrays[f"{kind}/sums_cgm"] = np.stack([match.sums_gm for match in matches])
    rows = {kind: [match.row() for match in matches] for kind, matches in found.items()}
    write_by(lambda file: save_arrays(arrays, {"matches": rows}, file), path)


def load_matches(path: str | Path) -> dict[str, list[Match]]:
    """What `save_matches` wrote.

    Raises:
        SaevError: the file is missing, or not as it was written.
    """
    arrays, facts = load_arrays(path, "probe")
    found = {}
    for kind, rows in facts["matches"].items():
        cluster_g, sums_cgm = (arrays.get(f"{kind}/{key}", np.empty(0)) for key in ("cluster_g", "sums_cgm"))
        found[kind] = [
            Match(row.pop("name"), row.pop("latent"), row.pop("threshold"), row, sums_gm, cluster_g)
            for row, sums_gm in zip(rows, sums_cgm, strict=True)
        ]
    return found
