"""The loop over the steps: Lightning's trainer, reduced to what a run here needs."""

import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import lightning
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, IterableDataset

from saev.machine.machine import Machine, hush_lightning
from saev.sae.model import SAE
from saev.training.checkpoint import BesideTarget, Resumable
from saev.training.latent_parallel import LatentParallel
from saev.training.options import Training
from saev.training.steps import SAETraining
from saev.training.watch import TrainingProgress

LAST = "last.ckpt"
"""The checkpoint in the working directory."""


class Loop:
    """All steps of one training, from its last checkpoint on if there is one.

    Args:
        options: of the training.
        machine: where it runs.
        working: directory of the checkpoint, the only file that is written; None: none is.

    Attributes:
        is_first: whether this is the first process, which has the results.
        shard: which latents this process holds, as SAE has it.
        part: which tokens of each batch it sees, as ActivationStream has it.

    Raises:
        SaevError: devices that cannot be had.
    """

    def __init__(self, options: Training, machine: Machine, working: Path | None = None):
        self.options, self.resumable = options, None
        callbacks: list[lightning.Callback] = [TrainingProgress(options.batch_size)]
        if working is not None:
            self.resumable = Resumable(working / LAST, options.checkpoint_every)
            callbacks.append(self.resumable)
        divided = machine.parallel == "latents"
        with quiet_lightning():
            places = machine.places
            try:
                self.trainer = lightning.Trainer(
                    **places,
                    strategy=LatentParallel() if divided else "auto",
                    plugins=[BesideTarget()],
                    max_epochs=1,
                    limit_train_batches=options.steps,
                    callbacks=callbacks,
                    logger=False,
                    enable_checkpointing=False,
                    enable_model_summary=False,
                    enable_progress_bar=False,
                    use_distributed_sampler=False,
                )
            except Exception as error:  # Lightning's, SLURM's and torch's own have no common type
                raise machine.refusal(error) from None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        self.is_first = rank == 0
        # Either the latents are divided, and every process sees all tokens, or the tokens.
        self.shard, self.part = ((rank, world), (0, 1)) if divided else ((0, 1), (rank, world))

    def run(self, saes: Mapping[str, SAE], stream: Callable[..., IterableDataset]) -> dict[str, list[dict]]:
        """Take all steps and return the loss curve of each SAE; they are trained in place, and may be moved.

        Args:
            stream: stream(start=, part=, device=) gives the batches from number `start` on, of each the part
                (rank, world) for process `rank` of `world`, on its device.

        Raises:
            SaevError: a loss that is not finite, or a checkpoint of another run.
            KeyboardInterrupt: as it came.
        """
        module = SAETraining(saes, self.options)
        last = self.resumable.last(self.trainer, module.members) if self.resumable else None
        with quiet_lightning(), _own_exits():
            batches = _Batches(stream, self.part)
            self.trainer.fit(module, batches, ckpt_path=last, weights_only=True)
        return module.curves


class _Batches(lightning.LightningDataModule):
    """The stream, started where the trainer stands: batch t depends on t alone, so that resume is exact."""

    trainer: lightning.Trainer
    """By Lightning, before it asks for batches."""

    def __init__(self, stream: Callable[..., IterableDataset], part: tuple[int, int]):
        super().__init__()
        self.stream, self.part = stream, part

    def train_dataloader(self) -> DataLoader:
        start, device = self.trainer.global_step, self.trainer.strategy.root_device
        return DataLoader(self.stream(start=start, part=self.part, device=device), batch_size=None)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's announcements of the hardware that it did not find, and what is not so here."""
    hush_lightning()
    with warnings.catch_warnings():
        # Lightning 2.6 against torch 2.14; nothing of ours.
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated.*")
        # Our stream reads ahead in a thread of its own; worker processes would only copy.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # It is resumable: it starts at the trainer's step.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
        yield


@contextmanager
def _own_exits() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, SIGTERM exits with 143. (By Lightning they exit with 1 and 0.)"""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        sys.exit(128 + signal.SIGTERM)
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, before)  # Lightning has it ignored
            raise KeyboardInterrupt from None
        raise
