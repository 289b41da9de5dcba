"""images -> activations: record every split of the data through the backbone."""

from collections import Counter
from dataclasses import replace

from omegaconf import DictConfig, ListConfig

from pipeline.cell import Cell, grid
from pipeline.stage import plain, read, stage


@stage("extract")
def main(cfg: DictConfig) -> None:
    from saev.activations import Recording, record
    from saev.activations.recording import identity
    from saev.checks import check_int
    from saev.errors import SaevError
    from saev.files import scratch, write_json
    from saev.machine import distributed
    from saev.machine.progress import say

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
    metrics, classes = {}, {}
    for split, source in images.items():
        named = replace(options, split=split)
        # Where the values would differ the work starts anew.
        working = scratch("extract", identity(cell.backbone, source, layers, named, cell.machine))
        store = record(
            cell.backbone,
            source,
            cfg.acts[split],
            layers=layers,
            working=working,
            options=named,
            machine=cell.machine,
            workers=cfg.workers,
        )
        metrics[split] = store.summary()
        names = Counter(store.classes[label] for label in store.image_labels() if label < len(store.classes))
        classes[split] = {name: names[name] for name in store.classes}
        if distributed.rank() == 0:
            working.rmdir()
        say(f"extract: {store.n_images:,} images of {split} in {cfg.acts[split]}")
    if distributed.rank() == 0:
        write_json(cell.results("extract") / "metrics.json", metrics)
        write_json(cell.results("extract") / "classes.json", classes)


if __name__ == "__main__":
    main()
