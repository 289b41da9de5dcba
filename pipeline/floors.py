"""SAE -> its floors: twins of which a part does not learn or that start elsewhere, and dictionaries without
training; what they reach too is no evidence."""

from omegaconf import DictConfig, ListConfig

from pipeline.cell import Cell
from pipeline.stage import plain, read, stage
from saev.checks import check_choice, check_seed
from saev.errors import SaevError
from saev.scratch import at_work, scratch_place

FILES = {
    r"floors\.json": '"floors"',
    r"[\w-]+/config\.json": None,
    r"[\w-]+/sae\.safetensors": None,
}
"""The files of its output, as `saev.outputs` knows them."""


@stage("floors")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.machine import distributed
    from saev.machine.progress import say
    from saev.outputs import new_directory
    from saev.sae import Trained, save_sae
    from saev.training import Training, fit, floor

    cell, options, seed = Cell(cfg), read(Training, cfg.trainer), check_seed(cfg.seed)
    names, tokens = asked(cell), cell.tokens("train")
    k = active(cell) if names else 0
    like = cell.sae.architecture
    members = [floor(name, like, tokens.d, k, seed) for name in names if isinstance(like, Trained)]
    of = {"sae": cell.sae.digest(), "floors": list(names), "active": k}
    working = scratch_place("floors", {**of, "trainer": plain(cfg.trainer), "seed": seed})
    run = {"options": options, "seed": seed, "machine": cell.machine, "working": working}
    if not distributed.is_first():
        fit(members, tokens, **run)
        return
    with at_work(working), new_directory(cfg.floors_dir, FILES) as out:
        for name, fitted in (fit(members, tokens, **run) if members else {}).items():
            save_sae(fitted.sae, out / name)
        write_json(out / "floors.json", of)
    say(f"floors: {', '.join(names) or 'none'} of {cfg.sae.name} in {cfg.floors_dir}")


def asked(cell: Cell) -> tuple[str, ...]:
    """The names of the floors."""
    from saev.sae import Trained
    from saev.training import FLOORS

    chosen = cell.cfg.floors
    trained = isinstance(cell.sae.architecture, Trained)
    if chosen == "auto":
        return FLOORS if trained and has_learnt(cell.cfg.backbone) else ()
    if not isinstance(chosen, ListConfig):
        raise SaevError(f"floors must be auto, or a list of some of {', '.join(FLOORS)}; got {chosen!r}")
    for name in chosen:
        check_choice("floors", name, FLOORS)
    if chosen and not trained:
        raise SaevError(f"floors must be auto or [] for sae={cell.cfg.sae.name}, which is no trained SAE")
    return tuple(dict.fromkeys(chosen))


def has_learnt(backbone: DictConfig) -> bool:
    """Whether a backbone has other than random weights: its model brings its own, or some are asked for."""
    own = str(backbone.get("model")).startswith(("hf-hub:", "local-dir:"))
    return own or bool(backbone.get("pretrained", True) or backbone.get("checkpoint"))


def active(cell: Cell) -> int:
    """How many latents of the SAE are active on a training token, on average over some images."""
    from saev.evaluation import measure_reconstruction

    tokens = cell.tokens("train")
    images, sae = tokens.store.drawn(64, 0), {cell.cfg.sae_dir: cell.sae}
    found = measure_reconstruction(sae, tokens, images=images, device=cell.machine.device)
    (measured,) = found.values()
    return max(1, round(measured.metrics["l0"] or 0))


if __name__ == "__main__":
    main()
