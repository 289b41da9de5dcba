"""images -> activations: record every split of the data through the backbone."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig

from pipeline.cell import Cell, grid
from pipeline.stage import plain, read, stage
from saev.checks import check_int
from saev.errors import SaevError

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.activations import Store
    from saev.data.sample import ImageDataset
    from saev.outputs import Staged

RESULTS = {r"metrics\.json": '"labelled_patches"', r"classes\.json": None}
"""The files of its results, as `saev.outputs` knows them."""


@stage("extract")
def main(cfg: DictConfig) -> None:
    from saev.activations import Recording
    from saev.activations.recorder import record_in
    from saev.activations.recording import identity
    from saev.machine import distributed
    from saev.machine.progress import say
    from saev.scratch import scratch_place

    cell = Cell(cfg)
    options = read(Recording, plain(cfg.extract) | {"layers": asked_layers(cfg)})
    images = sources(cell)
    cell.machine.launch()
    parts = {split: replace(options, split=split) for split in images}
    # Where the values would differ the work starts anew.
    workings = {
        split: scratch_place("extract", identity(cell.backbone, source, parts[split], cell.machine))
        for split, source in images.items()
    }
    outputs = []
    with ExitStack() as stack:
        distributed.by_the_first(lambda: outputs.extend(begin(stack, cell, workings)))
        for split, source in images.items():
            record_in(workings[split], cell.backbone, source, parts[split], cell.machine)
        distributed.by_the_first(lambda: finish(outputs, workings))
        distributed.by_the_first(stack.close)
    for split, source in images.items():
        say(f"extract: {len(source):,} images of {split} in {cfg.acts[split]}")


def asked_layers(cfg: DictConfig) -> list[int]:
    """Those of the configuration, or of the study. Raises SaevError if they are no list of integers."""
    if "split" in cfg.extract:
        raise SaevError("extract.split is no option: every split of data.splits is recorded")
    if "layers" in cfg.extract:
        raise SaevError("extract.layers is no option: set layers, or those of conf/study.yaml")
    layers = grid()["layers"] if cfg.layers is None else cfg.layers
    if not isinstance(layers, (list, ListConfig)):
        raise SaevError(f"layers must be a list, got {layers!r}")
    for layer in layers:
        check_int("layers", layer, low=-1000, high=999)
    return list(layers)


def sources(cell: Cell) -> "dict[str, ImageDataset]":
    """The images of every split. Raises SaevError if they have other classes or concepts: the number of one
    would stand for another."""
    images = {split: cell.images(split) for split in plain(cell.cfg.data.splits)}
    first = next(iter(images))
    for split, source in images.items():
        for what in ("classes", "concepts"):
            mine, others = (getattr(of, what, ()) for of in (source, images[first]))
            if mine != others:
                odd = ", ".join(map(repr, sorted(set(mine) ^ set(others))[:5]))
                raise SaevError(f"data.splits.{split}: has other {what} than {first}: {odd} ...")
    return images


def begin(stack: ExitStack, cell: Cell, workings: dict[str, Path]) -> "list[Staged]":
    """Be at work in scratch, and at the outputs: a store of every split, and the results."""
    from saev.activations.schema import FILES
    from saev.outputs import staged
    from saev.scratch import at_work

    for working in workings.values():
        stack.enter_context(at_work(working))
    stores = [(cell.cfg.acts[split], FILES) for split in workings]
    return stack.enter_context(staged(*stores, (cell.results("extract"), RESULTS)))


def finish(outputs: "list[Staged]", workings: dict[str, Path]) -> None:
    """Let the outputs be the finished stores, and what is in them."""
    from saev.activations import Store
    from saev.files import write_json

    *stores, results = outputs
    metrics, classes = {}, {}
    for (split, working), output in zip(workings.items(), stores, strict=True):
        store = Store(working / "store")
        metrics[split], classes[split] = store.summary(), images_of_classes(store)
        output.take(store.path)
    write_json(results.path / "metrics.json", metrics)
    write_json(results.path / "classes.json", classes)


def images_of_classes(store: "Store") -> dict[str, int]:
    """How many images each class has."""
    known = (label for label in store.image_labels() if label < len(store.classes))
    named = Counter(store.classes[label] for label in known)
    return {name: named[name] for name in store.classes}


if __name__ == "__main__":
    main()
