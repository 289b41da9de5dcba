"""activations -> task: the frozen linear map that fidelity and interventions are measured with."""

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import stage

RESULTS = {r"metrics\.json": '"readout"'}
"""The files of its results, as `saev.outputs` knows them."""


@stage("head")
def main(cfg: DictConfig) -> None:
    from saev.checks import check_seed
    from saev.files import write_json
    from saev.machine.progress import say
    from saev.outputs import staged
    from saev.tasks import (
        TaskOptions,
        evaluate_concepts,
        evaluate_task,
        save_task,
        train_concepts,
    )
    from saev.tasks.task import FILES

    cell, seed = Cell(cfg), check_seed(cfg.seed)
    asking = cell.asking
    # Of tasks without options for them, concepts are read as they are by default.
    options = asking if isinstance(asking, TaskOptions) else TaskOptions()
    train, val = cell.store("train"), cell.store("val")
    for store in (train, val):
        store.check_backbone(cell.backbone)
    layer = train.layers[-1]  # the shortest way to the final tokens
    with staged((cfg.head_dir, FILES), (cell.results("head"), RESULTS)) as (folder, results):
        task = asking.fit(cell.backbone, train, layer, seed, cell.machine)
        concepts = train_concepts(cell.backbone, train, layer, options, seed, cell.machine)
        few = "the images have no labels" if train.labelled is None else "fewer than 2 classes are labelled"
        reason = "" if task else few
        metrics = {"readout": task.readout if task else None, "reason": reason}
        if task:
            metrics |= evaluate_task(task, cell.backbone, val, layer, cell.machine)
        if concepts:
            metrics["concepts"] = evaluate_concepts(concepts, cell.backbone, val, layer, cell.machine)
        save_task(task, folder.path, reason)
        save_task(concepts, folder.path / "concepts", "the images have no concepts")
        write_json(results.path / "metrics.json", metrics)
    found = (
        f"{metrics['accuracy']:.1%} of {metrics['units']:,} right on {task.readout}"
        if task
        else f"none: {reason}"
    )
    say(f"head: {found}; in {cfg.head_dir}")


if __name__ == "__main__":
    main()
