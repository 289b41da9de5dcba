"""What a study will take, before anything runs: images, tokens, GB and the time of each stage.

    python -m pipeline.plan                          of the study in whose folder we are
    python -m pipeline.plan study=imagenet_dinov2    of one of conf/studies, for this machine

What is marked with >= leaves out what has no rate: logistic regressions, matching, pictures, and passes of
images whose number results decide. Nothing is taken to run beside something else.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from pipeline.cell import grid
from pipeline.new_study import STUDIES, configure
from pipeline.planned import STAGES, Planned, Sizes, planned
from pipeline.stage import conf_folder, plain, read, stage
from saev.checks import check_choice, check_int
from saev.machine import Machine

if TYPE_CHECKING:
    from rich.table import Table

    from saev.planning import Rates


@stage("plan")
def main(cfg: DictConfig) -> None:
    from rich.console import Console

    from saev.planning import Rates, measure

    check_int("l0", cfg.l0, low=1)
    check_int("latents", cfg.latents, low=1)
    with folder_of(cfg.study) as conf:
        study = grid(conf)
        sizes, plans = Sizes(plain(cfg)), []
        for cell in product(*(study[key] for key in ("data", "backbones", "layers", "saes"))):
            first = not any(plan.of[:2] == cell[:2] for plan in plans)
            plans.append(planned(cells_options(conf, study, cell), sizes, cell, first=first))
        shape = max((plan.shape for plan in plans), key=lambda shape: shape.block)
        rates = Rates.read(cfg.hardware) if cfg.hardware else measure(shape, read(Machine, cfg.machine))
    Console().print(table(cfg.study or Path.cwd().name, plans, rates))
    if not cfg.hardware:
        print("# These rates, in a file, plan for this machine elsewhere: hardware=<file>")
        print(
            *(
                f"{key}: {value:.3g}" if key != "name" else f"{key}: {value}"
                for key, value in vars(rates).items()
            ),
            sep="\n",
        )


@contextmanager
def folder_of(name: str | None) -> Iterator[Path]:
    """The conf/ of a study."""
    if name is None:
        yield conf_folder("study")
        return
    check_choice("study", name, tuple(sorted(place.name for place in STUDIES.iterdir())))
    with tempfile.TemporaryDirectory() as place:
        configure(Path(place, "conf"), {"study": name})
        yield Path(place, "conf")


def cells_options(conf: Path, study: dict, cell: tuple) -> dict[str, DictConfig]:
    """What the stages of a cell that have a rate compose."""
    data, backbone, layer, sae = cell
    of_model = [f"data={data}", f"backbone={backbone}"]
    of_cell = [*of_model, f"layer={layer}", f"sae={sae}"]
    GlobalHydra.instance().clear()  # which holds what this command was composed with, itself no more needed
    with initialize_config_dir(str(conf), version_base="1.3"):
        composed = {
            "extract": compose("extract", of_model),
            "head": compose("head", of_model),
            "train": compose("train", [*of_cell, f"trainer={study.get('trainer', 'default')}"]),
            **{name: compose(name, of_cell) for name in ("floors", "evaluate", "intervene", "causes")},
        }
    OmegaConf.update(composed["extract"], "layers", study["layers"])
    return composed


def table(name: str, plans: list[Planned], rates: "Rates") -> "Table":
    """A row for each stage, over all cells, and their sum."""
    from rich.table import Table

    from saev.planning import Work

    images = {plan.of[0]: plan.images for plan in plans}
    tokens = {plan.of[:2]: plan.tokens for plan in plans}
    counted = f"{sum(images.values()):,} images, {sum(tokens.values()):,} tokens, {len(plans)} cells"
    shown = Table(title=f"{name}\n{counted}", caption=f"time on {rates.name}")
    for heading in ("stage", "cells", "GB on disk", "time"):
        shown.add_column(heading, justify="left" if heading == "stage" else "right")
    total, least, on_disk = 0.0, False, 0
    for stage_name, whole in STAGES.items():
        parts = [plan.stages[stage_name] for plan in plans if stage_name in plan.stages]
        work, n_bytes = sum((part.work for part in parts), Work()), sum(part.n_bytes for part in parts)
        seconds = work.seconds(rates)
        total, least, on_disk = total + seconds, least or not whole, on_disk + n_bytes
        size = f"{n_bytes / 1e9:,.2f}" if n_bytes else ""
        shown.add_row(stage_name, str(len(parts)), size, told(seconds, whole))
    shown.add_section()
    shown.add_row("all", "", f"{on_disk / 1e9:,.2f}", told(total, not least))
    return shown


def told(seconds: float, whole: bool) -> str:
    """In hours, or in minutes where it is less than one."""
    time = f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    return time if whole else f">= {time}"


if __name__ == "__main__":
    main()
