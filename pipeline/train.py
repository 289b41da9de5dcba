"""activations -> SAEs: train one, and on the same stream others that then only wait for their own stage; or
take one that somebody has trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig

from pipeline.cell import Cell, grid
from pipeline.stage import compose_again, given, plain, read, stage
from saev.checks import check_seed
from saev.errors import SaevError
from saev.files import fingerprint, read_json
from saev.scratch import at_work, scratch_place

if TYPE_CHECKING:  # torch is loaded by the stage alone
    from saev.sae import SAE
    from saev.training import Training

MOST = 8
"""SAEs on one stream: more do not fit the memory of a laptop, and gain little (docs/training.md)."""
RESULTS = {r"curve\.json": "["}
"""The files of its results, as `saev.outputs` knows them."""


@stage("train")
def main(cfg: DictConfig) -> None:
    from saev.files import write_json
    from saev.machine import distributed
    from saev.machine.progress import say
    from saev.outputs import copy, staged
    from saev.sae.formats.checkpoint import FILES
    from saev.training import Training

    cell, options, seed = Cell(cfg), read(Training, cfg.trainer), check_seed(cfg.seed)
    tell_unused(cell)
    working = scratch_place("train", identity(cell))
    if not distributed.is_first():
        return train(cell, options, seed, working)  # what follows is the first process's work
    with (
        at_work(working),
        staged((cfg.sae_dir, FILES), (cell.results("train"), RESULTS)) as (folder, results),
    ):
        if not (working / "finished").exists():
            train(cell, options, seed, working)
        copy(working / "finished" / "sae", folder.path)
        write_json(results.path / "curve.json", read_json(working / "finished" / "curve.json"))
    say(f"train: {cfg.sae.name} in {cfg.sae_dir}")


def tell_unused(cell: Cell) -> None:
    """Say it if the command line tells how to train what is fitted at once. Only said: the same line may be
    typed for several SAEs, of which others are trained."""
    from saev.machine.progress import say
    from saev.sae import Trained

    keys = sorted(set(given("trainer")) - {"window"})  # which its sample is drawn through
    if keys and not isinstance(cell.architecture, Trained):
        say(
            f"train: {cell.cfg.sae.name} takes no steps; trainer.{', trainer.'.join(keys)} make no difference"
        )


def train(cell: Cell, options: "Training", seed: int, working: Path) -> None:
    """Train the SAE of `cell`, and those beside it; each is left in `finished` in its place in scratch."""
    from saev.sae import Pretrained
    from saev.training import fit

    if isinstance(cell.architecture, Pretrained):
        sae = cell.architecture.load(cell.tokens("train"), cell.cfg.backbone.name)
        return leave(working, sae, [])
    members = {member.cfg.sae.name: member for member in (cell, *beside(cell))}
    places = {name: scratch_place("train", identity(member)) for name, member in members.items()}
    # In our own folder, because this run alone is at work there.
    together = working / fingerprint([place.name for place in places.values()])
    fitted = fit(
        {
            name: of
            for name, member in members.items()
            if not isinstance(of := member.architecture, Pretrained)
        },
        cell.tokens("train"),
        options=options,
        seed=seed,
        machine=cell.machine,
        working=working if len(members) == 1 else together,
    )
    for name, (sae, curve) in fitted.items():  # our own first; none in the other processes
        if name == cell.cfg.sae.name or not done(members[name]):
            leave(places[name], sae, curve)


def leave(place: Path, sae: "SAE", curve: list[dict]) -> None:
    """Leave an SAE in `finished` in its place in scratch."""
    from saev.files import write_json
    from saev.outputs import new_directory
    from saev.sae import save_sae

    with new_directory(place / "finished", {}) as out:
        save_sae(sae, out / "sae", run=place.name)
        write_json(out / "curve.json", curve)


def identity(cell: Cell) -> dict:
    """All that decides the bytes of a trained SAE."""
    tokens, machine = cell.tokens("train"), cell.machine
    return {
        "sae": plain(cell.cfg.sae),
        "trainer": plain(cell.cfg.trainer),
        "seed": cell.cfg.seed,
        "origin": tokens.origin.as_dict(),
        "store": dict(tokens.store.attrs),
        "parallel": machine.parallel,
    }


def beside(cell: Cell) -> Iterator[Cell]:
    """The cells to be trained on the stream of this one: those that `together` names, or the study's that
    nobody has trained yet."""
    from saev.sae import Trained

    named, found = cell.cfg.together, 0
    listed = isinstance(named, ListConfig) and all(isinstance(name, str) for name in named)
    if named != "study" and not listed:
        raise SaevError(f"together must be a list of files of conf/sae, or study, got {named!r}")
    for name in grid()["saes"] if named == "study" else named:
        other = Cell(compose_again("train", sae=name))
        alike = plain(other.cfg.sae).get("tokens") == plain(cell.cfg.sae).get("tokens")
        if named != "study" and not alike:
            raise SaevError(
                f"together: {name} reads other tokens than {cell.cfg.sae.name}; it has another stream"
            )
        trained = isinstance(other.architecture, Trained)
        if other.cfg.sae.name != cell.cfg.sae.name and alike and trained and found < MOST and not done(other):
            found += 1
            yield other


def done(cell: Cell) -> bool:
    """Whether this very SAE is in its place, or waits for its stage."""
    place, config = scratch_place("train", identity(cell)), Path(cell.cfg.sae_dir, "config.json")
    return (place / "finished").exists() or (config.is_file() and read_json(config).get("run") == place.name)


if __name__ == "__main__":
    main()
