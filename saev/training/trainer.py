"""Lightning's trainer, reduced to what a run here needs."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from saev.errors import SaevError


def plain_trainer(steps: int, **options: object) -> lightning.Trainer:
    """A trainer of so many steps that writes nothing by itself and takes the batches as they come."""
    try:
        return lightning.Trainer(
            max_epochs=1,
            limit_train_batches=steps,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            **options,
        )
    except MisconfigurationException as error:
        places = {key: options[key] for key in ("accelerator", "devices", "num_nodes") if key in options}
        raise SaevError(f"machine: {places} cannot be had: {str(error).splitlines()[0]}") from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's announcements of the hardware that it did not find, and what is not so here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning 2.6 against torch 2.14; nothing of ours.
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated.*")
        # Our stream reads ahead in a thread of its own; worker processes would only copy.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # It is resumable: it starts at the trainer's step.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
        yield


class Resumable(lightning.Callback):
    """Keep one checkpoint, replaced atomically. (ModelCheckpoint names a new file each time and deletes the old.)"""

    def __init__(self, path: Path, every: int):
        self.path, self.every = path, every

    def on_train_batch_end(self, trainer: lightning.Trainer, *_) -> None:
        if trainer.global_step % self.every == 0:
            trainer.save_checkpoint(self.path)


class TrainingBar(lightning.Callback):
    """Tokens per second, time left, and the first SAE's NMSE, L0 and share of dead latents.

    (Lightning's own bar knows batches per second, and asks the device for every number at every step.)
    """

    def __init__(self, batch_size: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.batch_size = batch_size
        columns = (
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=Console(stderr=True))

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.progress.disable = trainer.global_rank > 0
        self.progress.start()
        self.task = self.progress.add_task(
            "train", total=trainer.limit_train_batches, completed=trainer.global_step, state=""
        )

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_) -> None:
        speed = (self.progress.tasks[0].speed or 0) * self.batch_size
        last = next(
            (point for point in reversed(module.curve) if point["sae"] == 0), {"mse": 0, "l0": 0, "dead": 0}
        )
        state = f"{speed:,.0f} tokens/s  NMSE {last['mse']:.3f}  L0 {last['l0']:.1f}  dead {last['dead']:.1%}"
        self.progress.update(self.task, advance=1, state=state)

    def on_train_end(self, *_) -> None:
        self.progress.stop()

    def on_exception(self, *_) -> None:
        self.progress.stop()
