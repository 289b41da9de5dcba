"""everything -> atlas: a folder of pages with every latent of the study, `atlas/index.html`."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig

from pipeline.cell import Cell, grid
from pipeline.pictures import Picture, seen
from pipeline.questions import questions
from pipeline.stage import compose_again, read, stage
from saev.checks import check_path, check_seed
from saev.errors import SaevError

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.atlas import AtlasOptions, Latents, Names


@stage("atlas")
def main(cfg: DictConfig) -> None:
    from saev.atlas import FILES, AtlasOptions, write_site
    from saev.machine.progress import say
    from saev.outputs import new_directory

    check_path("out", cfg.out)
    check_path("notes", cfg.notes)
    options, seed, shelf = read(AtlasOptions, cfg.atlas), check_seed(cfg.seed), Shelf()
    study = grid()
    with new_directory(cfg.out, FILES) as out:
        told = [write_cell(out, cell, options, shelf, seed) for cell in cells(cfg, study)]
        for row in told:
            row["untrained"] = row["backbone"] in study.get("untrained", [])
        write_site(out, {"cells": told, "albums": shelf.write(out, options)})
    latents = sum(row["latents"] for row in told)
    say(f"atlas: {latents:,} latents of {len(told)} cells; open {cfg.out}/index.html")


def cells(cfg: DictConfig, study: dict[str, list]) -> Iterator[Cell]:
    """Those of the grid. What the command line says of a part holds wherever that part is."""
    axes = ("data", "backbones", "layers", "saes")
    for data, backbone, layer, sae in product(*(study[axis] for axis in axes)):
        parts = {"data": data, "backbone": backbone, "sae": sae}
        other = {group: name for group, name in parts.items() if cfg[group].name != name}
        if layer != cfg.layer:
            other["layer"] = layer
        yield Cell(compose_again("atlas", **other) if other else cfg)


class Shelf:
    """The images that cells show: cells of the same data, seen alike, share them."""

    def __init__(self):
        self._sources: dict[tuple[str, ...], Picture] = {}
        self._wanted: dict[tuple[str, ...], list[tuple[int, np.ndarray]]] = defaultdict(list)

    def want(self, cell: Cell, split: str, images_k: list[np.ndarray]) -> int:
        """Ask for images, each array more dispensable than the one before; returns the album's number."""
        store = cell.store(split)
        key = (cell.cfg.data.name, split, store.attrs["data"], str(store.preprocess))
        if key not in self._sources:
            self._sources[key] = seen(cell, split)
        self._wanted[key] += enumerate(images_k)
        return list(self._sources).index(key)

    def write(self, out: Path, options: "AtlasOptions") -> list[dict]:
        """Draw the albums, and say what the page must know of each."""
        from saev.atlas import kept, write_album
        from saev.atlas.script import packed

        told = []
        for number, (key, picture) in enumerate(self._sources.items()):
            ranked = sorted(self._wanted[key], key=lambda of: of[0])
            ids = kept((images for _, images in ranked), options.images)
            # Those of validation are looked at one by one.
            longest = options.thumbnails * (2 if key[1] == "val" else 1)
            album = write_album(out, str(number), picture, ids, longest)
            told.append(album | {"data": key[0], "split": key[1], "ids": packed(ids.astype(np.uint32))})
        return told


def write_cell(out: Path, cell: Cell, options: "AtlasOptions", shelf: Shelf, seed: int) -> dict:
    """Write the scripts of a cell, ask for its images, and say what the page must know of it."""
    from saev.atlas import StoredCodes, write_latents, write_look
    from saev.machine import track
    from saev.report import Results

    name, profile, tokens = cell.cfg.cell, cell.profile, cell.tokens("val")
    pooled = tokens.grid is None
    latents = gather(cell, options, pooled, seed)
    browse = np.flatnonzero(tokens.store.present)[: options.browse]
    codes = StoredCodes(Path(cell.cfg.codes, "val.safetensors"), cell.sae.digest())
    for image in track(browse, f"atlas {name}", len(browse), unit="images"):
        key = f"d/{name}/image-{image}"
        write_look(out, key, codes.of(int(image)), profile.maximum_s, tokens.per_image, pooled=pooled)
    concepts, results = write_latents(out, name, latents), Results()
    caused = [row["image"] for of in latents.told.values() for row in of.get("causes", [])]
    shown_k = [*latents.strongest.image_sk.T, *latents.spread.image_sk.T]
    source, cfg = cell.images("val"), cell.cfg
    outcome = results.read("intervene", name, "outcome.json")
    return {
        "name": name,
        **{"data": cfg.data.name, "backbone": cfg.backbone.name, "layer": cfg.layer, "sae": cfg.sae.name},
        "latents": cell.sae.d_sae,
        "grid": tokens.grid and list(tokens.grid),
        "concepts": concepts,
        "seeds": cell.seeds,
        "permutations": options.permutations,
        "images": {split: cell.store(split).n_images for split in cfg.acts},
        "albums": {
            "train": shelf.want(cell, "train", shown_k),
            "val": shelf.want(cell, "val", [browse, np.array(caused, int)]),
        },
        "notes": {str(s): of["note"] for s, of in latents.told.items() if "note" in of},
        "browse": [{"id": int(i), "name": source.name(int(i))} for i in browse],
        "scores": results.read("evaluate", name, "metrics.json"),
        "probed": {kind: results.read("probe", name, file) for kind, file in PROBED.items()},
        "edits": {key: outcome[key] for key in ("reason", "images", "points", "curves")},
    }


PROBED = {"classes": "metrics.json", "concepts": "described.json"}
"""Kinds of concept, and where the probe has the means of each."""


def gather(cell: Cell, options: "AtlasOptions", pooled: bool, seed: int) -> "Latents":
    """All that is known of the latents of a cell."""
    from saev.atlas import Latents, StoredCodes, exemplar_maps, told_of, twins
    from saev.report import Results

    name, profile, results = cell.cfg.cell, cell.profile, Results()
    codes = StoredCodes(Path(cell.cfg.codes, "train.safetensors"), cell.sae.digest())
    strongest, spread = (
        exemplar_maps(codes, image_sk[:, : options.exemplars], profile.maximum_s, pooled=pooled)
        for image_sk in (profile.strongest_sk, profile.spread_sk)
    )
    matches = {kind: results.read("probe", name, f"{kind}.json") for kind in PROBED}
    outcome, caused = (
        results.read(*file) for file in (("intervene", name, "outcome.json"), ("causes", name, "causes.json"))
    )
    agreed = results.read("causes", name, "agreement.json") or []
    notes = noted(Path(cell.cfg.notes, f"{name}.yaml"), cell.sae.d_sae)
    told = told_of(matches, outcome["classes"], caused["causes"], agreed, notes)
    check_numbers(told, cell)
    rows = [of.W_dec.numpy(force=True) for of in (cell.sae, *(cell.floors[seed] for seed in cell.seeds))]
    twin_se, cosine_se = twins(rows[0], rows[1:])
    names = named(cell, matches, options.permutations, seed)
    return Latents(profile, strongest, spread, names, twin_se, cosine_se, told, levels(cell))


def named(cell: Cell, matches: dict[str, list[dict]], times: int, seed: int) -> "dict[str, Names]":
    """The names of all latents, by each kind of concept that the probe asked for."""
    from saev.atlas import name_latents
    from saev.atlas.naming import only
    from saev.report import Results

    metrics = Results().read("probe", cell.cfg.cell, PROBED["classes"])
    asked = questions(cell, "images" if metrics["units"] == "images" else "tokens", ())
    found = {}
    for kind, rows in matches.items():
        if rows:
            names = [row["name"] for row in rows]
            question = asked[kind]._replace(
                train=only(asked[kind].train, names), val=only(asked[kind].val, names)
            )
            found[kind] = name_latents(
                question.of(cell.codes("train"), cell.codes("val")), times=times, seed=seed
            )
    return found


def levels(cell: Cell) -> np.ndarray | None:
    """Of a dictionary of nested prefixes, the first that has each latent."""
    prefixes = getattr(cell.sae.architecture, "prefixes", ())
    return np.searchsorted(np.array(prefixes), np.arange(cell.sae.d_sae), "right") if prefixes else None


def noted(file: Path, latents: int) -> dict[int, str]:
    """What has been noted of latents; {} where there is no file.

    Raises:
        SaevError: it is not {number of a latent: words}.
    """
    from saev.app.notes import read_notes

    notes = read_notes(file)
    for latent, words in notes.items():
        if not 0 <= latent < latents:
            raise SaevError(
                f"{file}: must be {{number of a latent below {latents}: words}}, got {latent!r}: {words!r}"
            )
    return notes


def check_numbers(told: dict[int, dict], cell: Cell) -> None:
    """Raise SaevError where a record speaks of a latent or an image that the cell has not."""
    images, latents = cell.store("val").n_images, cell.sae.d_sae
    for latent, of in told.items():
        beyond = [row["image"] for row in of.get("causes", []) if row["image"] >= images]
        if latent >= latents or beyond:
            what = f"image {beyond[0]}, of {images}" if beyond else f"latent {latent}, of {latents}"
            raise SaevError(
                f"results of {cell.cfg.cell}: a record is of {what}; run the probe and causes stages again"
            )


if __name__ == "__main__":
    main()
