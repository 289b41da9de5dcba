"""images -> activations: record every split of the data through the backbone."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

from omegaconf import DictConfig, ListConfig

from pipeline.cell import Cell, grid
from pipeline.stage import plain, read, stage

RESULTS = {r"metrics\.json": '"labelled_patches"', r"classes\.json": None}


@stage("extract")
def main(cfg: DictConfig) -> None:
    from saev.activations import Recording
    from saev.activations.recorder import record_in
    from saev.activations.recording import identity
    from saev.activations.schema import FILES
    from saev.checks import check_int
    from saev.errors import SaevError
    from saev.files import write_json
    from saev.machine import distributed
    from saev.machine.progress import say
    from saev.outputs import staged
    from saev.scratch import at_work, scratch_place

    cell, options = Cell(cfg), read(Recording, cfg.extract)
    layers = grid()["layers"] if cfg.layers is None else cfg.layers
    if not isinstance(layers, (list, ListConfig)):
        raise SaevError(f"layers must be a list, got {layers!r}")
    for layer in (layers := list(layers)):
        check_int("layers", layer, low=-1000, high=999)
    if cfg.workers is not None:
        check_int("workers", cfg.workers, low=0, high=1024)
    if "split" in cfg.extract:
        raise SaevError("extract.split is no option: every split of data.splits is recorded")
    images = {split: cell.images(split) for split in plain(cfg.data.splits)}
    for split, source in images.items():
        first = next(iter(images))
        if source.classes != images[first].classes:  # hours later nothing could be made of them
            odd = sorted(set(source.classes) ^ set(images[first].classes))
            raise SaevError(
                f"data.splits.{split}: has other classes than {first}: {', '.join(map(repr, odd[:5]))} ..."
            )
    cell.machine.launch()
    parts = {split: replace(options, split=split) for split in images}
    # Where the values would differ the work starts anew.
    workings = {
        split: scratch_place("extract", identity(cell.backbone, source, layers, parts[split], cell.machine))
        for split, source in images.items()
    }
    outputs, metrics, classes = [], {}, {}
    with ExitStack() as stack:

        def begin() -> None:
            for working in workings.values():
                stack.enter_context(at_work(working))
            stores = [(cfg.acts[split], FILES) for split in images]
            outputs.extend(stack.enter_context(staged(*stores, (cell.results("extract"), RESULTS))))

        distributed.by_the_first(begin)
        for split, source in images.items():
            store = record_in(
                workings[split],
                cell.backbone,
                source,
                layers=layers,
                options=parts[split],
                machine=cell.machine,
                workers=cfg.workers,
            )
            metrics[split] = store.summary()
            named = Counter(
                store.classes[label] for label in store.image_labels() if label < len(store.classes)
            )
            classes[split] = {name: named[name] for name in store.classes}
        if outputs:
            *stores, results = outputs
            for output, working in zip(stores, workings.values(), strict=True):
                output.take(working / "store")
            write_json(results.path / "metrics.json", metrics)
            write_json(results.path / "classes.json", classes)
        distributed.by_the_first(stack.close)
    for split in images:
        say(f"extract: {metrics[split]['images']:,} images of {split} in {cfg.acts[split]}")


if __name__ == "__main__":
    main()
