"""all probes -> comparisons: of cells that differ in one thing, which concepts one has and the other not."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pipeline.cell import grid
from pipeline.stage import stage
from saev.checks import check_number, check_path, check_seed

if TYPE_CHECKING:  # numpy and sklearn are loaded by the stage alone
    from saev.probing import Difference

AXES = {"backbone": "backbones", "layer": "layers", "sae": "saes"}
"""What cells of the same data differ in, and where the study lists it."""
RESULTS = {r"compare\.json": '"compared"', r"[^/]+\.(svg|png)": None}
"""The files of its results, as `saev.outputs` knows them."""


@stage("compare")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.report import compared_concepts, save

    check_path("out", cfg.out)
    check_number("margin", cfg.margin, low=0, high=1, above=True)
    seed = check_seed(cfg.seed)
    records = list(comparisons(grid(), cfg.margin, seed))
    with new_directory(cfg.out, RESULTS) as out:
        write_json(out / "compare.json", {"compared": records})
        for record in records:
            save(compared_concepts(record), out / record["picture"])
    say(f"compare: {len(records)} comparisons of cells that differ in one thing; in {cfg.out}")


def comparisons(study: dict[str, list], margin: float, seed: int) -> Iterator[dict]:
    """A record of each two cells that differ in one thing, and of each kind of concept that both have."""
    from saev.probing import difference, differences, load_matches

    cells = [dict(zip(AXES, cell, strict=True)) for cell in product(*(study[axis] for axis in AXES.values()))]
    for data in study["data"]:
        names = [f"{data}-{cell['backbone']}-L{cell['layer']}-{cell['sae']}" for cell in cells]
        found = [load_matches(Path("data/matches", name, "matches.safetensors")) for name in names]
        for i, j in combinations(range(len(cells)), 2):
            changed = [axis for axis in AXES if cells[i][axis] != cells[j][axis]]
            if len(changed) > 1:
                continue
            for kind, here in found[i].items():
                there = found[j].get(kind, [])
                rows = differences(here, there, margin=margin, seed=seed)
                if not rows:
                    continue
                mean = difference(here, there, seed)
                yield {
                    "data": data,
                    "kind": kind,
                    "differs": changed[0],
                    "here": cells[i],
                    "there": cells[j],
                    "margin": margin,
                    "mean": {"difference": mean.value, "low": mean.low, "high": mean.high},
                    "verdicts": dict(Counter(row.verdict for row in rows)),
                    "concepts": [flat(row) for row in rows],
                    "picture": f"{names[i]}-or-{cells[j][changed[0]]}-{kind}.svg",
                }


def flat(row: "Difference") -> dict:
    """The record of a concept."""
    of = {"difference": row.f1.value, "low": row.f1.low, "high": row.f1.high, "q": row.f1.q}
    sides = {
        where: {"f1": match.scores["f1"], "latent": match.latent, "claimed": match.claimed}
        for where, match in (("here", row.here), ("there", row.there))
    }
    return {"name": row.name, **sides, **of, "alike": row.alike, "verdict": row.verdict}


if __name__ == "__main__":
    main()
