"""The checkpoint from which a run that died goes on: written whole or not at all, checked before its use."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from saev.errors import SaevError, first_line
from saev.files import write_by
from saev.machine.progress import say
from saev.training.latent_parallel import LatentParallel


class Resumable(lightning.Callback):
    """Keep one checkpoint, replaced every so many steps. (ModelCheckpoint names a new file each time.)"""

    def __init__(self, path: Path, every: int):
        self.path, self.every = path, every

    def on_train_start(self, trainer: lightning.Trainer, *_) -> None:
        if step := trainer.global_step:
            say(f"train: continues at step {step:,} of {trainer.limit_train_batches:,} from {self.path}")

    def on_train_batch_end(self, trainer: lightning.Trainer, *_) -> None:
        if trainer.global_step % self.every == 0:
            trainer.save_checkpoint(self.path)

    def last(self, trainer: lightning.Trainer, members: dict[str, str]) -> Path | None:
        """The checkpoint, or None where there is none or one that is damaged, which one line says.

        Raises:
            SaevError: it is of other `members` (name and options of each), or of more or fewer devices.
        """
        if not self.path.exists():
            return None
        try:
            found = _read(self.path)
            if isinstance(trainer.strategy, LatentParallel):
                found, *_ = [_read(part) for part in trainer.strategy.parts(self.path, found)]
        except _Damaged as error:
            if trainer.global_rank == 0:
                say(f"train: {error}; starts anew")
            return None
        if found.get("members") != members:
            theirs, ours = (", ".join(one) or "nothing" for one in (found.get("members", {}), members))
            what = f"{theirs}, this run is of {ours}" if theirs != ours else f"{theirs} with other options"
            raise SaevError(f"{self.path}: the checkpoint is of {what}; delete it to start anew")
        return self.path


class BesideTarget(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: the path has the old one or the new one, whole.

    (Lightning's goes through /tmp, which may be smaller, or another disk, where a rename is a copy.)
    """

    def save_checkpoint(self, checkpoint: dict, path: str | Path, storage_options: object = None) -> None:
        def save(file: Path) -> None:
            with open(file, "wb") as opened:  # by its name torch would hide what the system says
                torch.save(checkpoint, opened)

        write_by(save, path)


class _Damaged(Exception):
    """A checkpoint that is not as it was written."""


def _read(path: Path) -> dict:
    """A checkpoint, its tensors left on the disk. (torch.load ignores the checksums of torch.save.)"""
    try:
        with zipfile.ZipFile(path) as file:
            if (part := file.testzip()) is not None:
                raise ValueError(f"the checksum of {part} does not fit")
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except UnpicklingError:  # whose text proposes to load them all the same
        raise _Damaged(f"{path} holds other things than tensors and plain values") from None
    except Exception as error:  # zipfile and torch each raise their own
        raise _Damaged(f"{path} is damaged ({first_line(error)})") from None
