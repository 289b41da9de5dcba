"""everything -> a page in the browser: images looked at, features edited, the control beside the edit."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pipeline.cell import Cell, grid
from pipeline.pictures import seen
from pipeline.stage import compose_again, stage, typed
from saev.checks import check_int
from saev.errors import SaevError
from saev.files import read_json

if TYPE_CHECKING:  # torch is loaded when a cell is opened
    from saev.app import Bench
    from saev.app.kept import Cache, Uploads
    from saev.backbones import Backbone

KINDS = ("classes", "concepts")
"""Of the latents that the probe stage chose."""


@stage("lab")
def main(cfg: DictConfig) -> None:
    from saev.app import Session, serve
    from saev.machine.progress import say

    check_int("port", cfg.port, low=0, high=65535)
    check_typed()
    session = Session(openers(), Path.cwd())
    say(f"lab: {len(session.cells)} finished cells: {', '.join(session.cells)}; Ctrl-C ends it")
    serve(session, cfg.port, ready=lambda url: print(url, flush=True))


def check_typed() -> None:
    """Raise SaevError for what is told of a cell: there are several, and the grid tells what they are."""
    for key in typed():
        if key.partition(".")[0] in ("data", "backbone", "sae", "layer"):
            raise SaevError(
                f"{key} is no option of the laboratory, which opens all finished cells of conf/study.yaml"
            )


def openers() -> "dict[str, Callable[[Uploads], Bench]]":
    """What opens each finished cell of the study, by name.

    Raises:
        SaevError: none is finished.
    """
    from saev.app.kept import Cache

    backbones = Cache(2)
    cells = [cell for cell in map(Cell, composed(grid())) if finished(cell)]
    if not cells:
        raise SaevError("no cell of conf/study.yaml is finished; run make study, or dvc repro")
    return {cell.cfg.cell: partial(opened, cell, backbones) for cell in cells}


def composed(axes: dict[str, list]) -> list[DictConfig]:
    """The configuration of every cell of the grid."""
    cells = []
    for data, backbone, layer, sae in product(
        *(axes[axis] for axis in ("data", "backbones", "layers", "saes"))
    ):
        cfg = compose_again("lab", data=data, backbone=backbone, sae=sae)
        cfg.layer = layer
        cells.append(cfg)
    return cells


def finished(cell: Cell) -> bool:
    """Whether the stages have run whose files are needed here."""
    cfg = cell.cfg
    folders = (cfg.acts.val, cfg.head_dir, cfg.sae_dir, cfg.codes)
    return all(Path(folder).is_dir() for folder in folders)


def opened(cell: Cell, backbones: "Cache[Backbone]", uploads: "Uploads") -> "Bench":
    """A cell on the bench; what it holds is let go with it, but for the backbone, which serves other cells.

    Raises:
        SaevError: a file of it is missing or damaged, or does not belong to the others.
    """
    from saev.app import Bench
    from saev.features import load_codes, load_profile
    from saev.sae import load_sae

    cfg, sae = cell.cfg, load_sae(cell.cfg.sae_dir)
    seen(cell, "val")  # which refuses other images than were recorded
    backbone = backbones.get(cfg.store, lambda: cell.backbone)
    cell.store("val").check_backbone(backbone)
    return Bench(
        name=cfg.cell,
        sae=sae.requires_grad_(False),
        backbone=backbone,
        tokens=cell.tokens("val"),
        profile=load_profile(Path(cfg.codes, "latents.safetensors"), sae),
        val=load_codes(Path(cfg.codes, "val.safetensors"), cell.tokens("val"), sae),
        task=cell.task,
        images=cell.images("val"),
        machine=cell.machine,
        evidence=tuple(evidence(cell)),
        uploads=uploads,
    )


def evidence(cell: Cell) -> list[dict]:
    """What the probe stage says of the latents that it chose; nothing if it has not run."""
    folder, keys = cell.results("probe"), ("f1", "low", "high", "shuffled", "p", "q")
    told = []
    for kind in KINDS:
        if (file := folder / f"{kind}.json").is_file():
            rows = read_json(file, "probe stage") or []
            told += [
                {"kind": kind, **{key: row.get(key) for key in ("name", "latent", *keys)}} for row in rows
            ]
    return told


if __name__ == "__main__":
    main()
