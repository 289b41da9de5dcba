"""features -> contrast: which latents differ between two groups of images that are alike in all else."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.pictures import Picture, seen, strongest_among
from pipeline.stage import read, stage
from saev.checks import Options, between, check_seed
from saev.errors import SaevError

if TYPE_CHECKING:  # scipy and matplotlib are loaded by the stage alone
    from saev.probing import Contrast, Groups
    from saev.report import Exemplars

RESULTS = {r"metrics\.json": '"claimed"', r"contrast(-\d+)?\.(svg|png)": None}
TABLES = {r"latents\.csv": "latent", r"latents\.parquet": None, r"codes\.h5ad": None}
"""The files of its outputs, as `saev.outputs` knows them."""
OWN = "class"
"""By what images are told apart that no table tells apart: their classes."""


@dataclass(frozen=True, kw_only=True)
class Contrasting(Options, section="contrast"):
    """Which images are held against which."""

    by: str
    groups: tuple[str, ...]
    strata: str | None
    split: Literal["train", "val"]
    pool: Literal["max", "mean"]
    permutations: Annotated[int, between(19, 10**6)]
    shown: Annotated[int, between(0, 24)]
    exemplars: Annotated[int, between(1, 24)]

    def __post_init__(self):
        super().__post_init__()
        if len(self.groups) != len(set(self.groups)) or len(self.groups) not in (0, 2):
            two = f"contrast.groups must be two different values of {self.by}, or []"
            raise SaevError(f"{two}, got {list(self.groups)}")


@stage("contrast")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import staged
    from saev.probing import contrast
    from saev.probing.match import CLAIMED
    from saev.probing.tables import write_tables
    from saev.report import contrasted_latents, exemplar_pages, save, save_pages

    cell, options, seed = Cell(cfg), read(Contrasting, cfg.contrast), check_seed(cfg.seed)
    picture, results = seen(cell, options.split), cell.results("contrast")
    columns = known_of_images(cell, options)
    groups, told = grouped(columns, options)
    with staged((results, RESULTS), (cfg.contrasts, TABLES)) as (output, tables):
        if groups is None:
            write_json(output.path / "metrics.json", {"reason": told, "claimed": None, "largest": []})
        else:
            pooled = cell.codes(options.split).pooled(options.pool)
            found = contrast(pooled, groups, times=options.permutations, seed=seed)
            rows = found.rows()
            largest = [row for row in rows if row["q"] <= CLAIMED][: options.shown]
            summary = summarised(groups, found, options)
            write_json(output.path / "metrics.json", {**summary, "largest": largest})
            write_tables(tables.path, rows, pooled.csr, columns)
            save(contrasted_latents(rows, groups.names), output.path / "contrast.svg")
            shown = list(exemplars(cell, options, groups, picture, largest))
            save_pages(exemplar_pages(shown), output.path, "contrast")
            told = f"{summary['claimed']} of {summary['tested']} latents differ: {' or '.join(groups.names)}"
    say(f"contrast: {told}; in {results}")


def known_of_images(cell: Cell, options: Contrasting) -> dict[str, list]:
    """Of each image of the split its name, value, stratum ("" where one is not known) and cluster."""
    from saev.data.sample import IGNORE, NO_CLUSTER

    store, images = cell.store(options.split), cell.images(options.split)
    if options.by == OWN:
        labels = store.image_labels()
        values = ["" if label == IGNORE else store.classes[label] for label in labels]
    else:
        values = cell.table.values(images, options.by)
    strata = cell.table.values(images, options.strata) if options.strata else ["all"] * len(values)
    cluster, known = np.arange(len(values)), store.present
    if store.attrs["described"] == "images":
        cluster = store.cluster()[:, 0].astype(int)
        known = known & (cluster != NO_CLUSTER)
    return {
        "image": [images.name(i) for i in range(len(images))],
        "value": [value if there else "" for value, there in zip(values, known, strict=True)],
        "stratum": strata,
        "cluster": cluster.tolist(),
    }


def grouped(columns: dict[str, list], options: Contrasting) -> "tuple[Groups | None, str]":
    """The two groups that are asked for, or else the two values of most images; if these cannot be compared
    None, and why."""
    from saev.probing import Groups

    counts = Counter(value for value in columns["value"] if value)
    names = options.groups or tuple(name for name, _ in counts.most_common(2))
    if absent := [name for name in options.groups if name not in counts]:
        there = ", ".join(sorted(counts)[:12]) or "none"
        raise SaevError(
            f"contrast.groups: {options.by} of no image of {options.split} is {absent[0]}: {there}"
        )
    if len(names) < 2:
        return None, f"no two values of {options.by} are known of the images"
    first, second = names
    number = {first: 0, second: 1}
    group = [
        number.get(value, -1) if stratum else -1
        for value, stratum in zip(columns["value"], columns["stratum"], strict=True)
    ]
    _, stratum = np.unique(columns["stratum"], return_inverse=True)
    try:
        return Groups(np.array(group), stratum, np.array(columns["cluster"]), (first, second)), ""
    except SaevError as error:
        if options.groups:
            raise
        return None, str(error)


def summarised(groups: "Groups", found: "Contrast", options: Contrasting) -> dict:
    """What was compared, and how much came out."""
    from saev.probing.match import CLAIMED

    tested = ~np.isnan(found.p)
    return {
        "reason": None,
        "by": options.by,
        "groups": list(groups.names),
        "strata": options.strata,
        "split": options.split,
        "images": np.bincount(groups.group_i[groups.images], minlength=2).tolist(),
        "clusters": list(groups.clusters),
        "left_out": sum(groups.left_out.values()),
        "tested": int(tested.sum()),
        "claimed": int((found.q[tested] <= CLAIMED).sum()),
        "best": int((found.p_best[tested] <= CLAIMED).sum()),
    }


def exemplars(
    cell: Cell, options: Contrasting, groups: "Groups", picture: Picture, rows: list[dict]
) -> "Iterator[Exemplars]":
    """Of each latent the images of each group on which it is strongest."""
    for row, (i, name) in ((row, side) for row in rows for side in enumerate(groups.names)):
        of = f"fires on {row['fires_a' if i == 0 else 'fires_b']:.0%} of {name}"
        among = np.flatnonzero(groups.images & (groups.group_i == i))
        words, most = f"latent {row['latent']} {of}", (among, options.exemplars)
        yield strongest_among(cell, options.split, picture, row["latent"], most, words)


if __name__ == "__main__":
    main()
