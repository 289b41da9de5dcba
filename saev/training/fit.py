"""One run of the training: the stream, the members, the trainer, resume."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from torch.utils.data import DataLoader

from saev.activations.store import Store
from saev.activations.stream import ActivationStream
from saev.options import check_int, check_number
from saev.sae.architectures import Architecture
from saev.sae.model import SAE
from saev.training.module import SAETraining


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options that all members share."""

    steps: int
    """Optimiser steps."""
    batch_size: int = 2048
    """Activation vectors per step, over all devices."""
    window: int = 32
    """Chunks of the store in memory: half are shuffled together while half are read."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises from 0."""
    decay: float = 0.5
    """Share of the steps over which it falls to 0 at the end."""
    clip: float = 1.0
    """Largest gradient norm of one SAE."""
    precision: str = "auto"
    """Of the encoder product: auto, fp32 or bf16."""
    checkpoint_every: int = 200
    """Steps between resumable checkpoints."""

    def __post_init__(self):
        check_int("trainer.steps", self.steps, low=1)
        check_int("trainer.batch_size", self.batch_size, low=1)
        check_int("trainer.window", self.window, low=2)
        check_int("trainer.checkpoint_every", self.checkpoint_every, low=1)
        check_number("trainer.warmup", self.warmup, low=0, high=1)
        check_number("trainer.decay", self.decay, low=0, high=1)
        check_number("trainer.clip", self.clip, low=0, above=True)


class Activations(lightning.LightningDataModule):
    """The stream, started where the trainer stands: batch t depends on (seed, t) alone, so resume is exact."""

    def __init__(self, store: Store, layer: int, options: Training, seed: int):
        super().__init__()
        self.store, self.layer, self.options, self.seed = store, layer, options, seed

    def train_dataloader(self) -> DataLoader:
        stream = ActivationStream(
            self.store, self.layer, batch_size=self.options.batch_size, window=self.options.window, seed=self.seed,
            start=self.trainer.global_step, rank=self.trainer.global_rank, world=self.trainer.world_size,
        )  # fmt: skip
        return DataLoader(stream, batch_size=None)


def fit(
    architectures: Sequence[Architecture],
    store: Store,
    *,
    layer: int,
    options: Training,
    seed: int,
    working: Path,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    progress: bool = False,
) -> tuple[list[SAE], list[dict[str, float]]]:
    """Train one SAE per architecture on `store` and return them with their loss curve.

    Args:
        layer: which recorded layer.
        seed: of the initial directions and of the shuffle; each member gets the directions it would get alone.
        working: directory for checkpoints. If a run dies, the next one with the same `working`
            continues from the last of them and ends in the same bytes.
        accelerator, devices, num_nodes: Lightning's; `auto` takes what is there.
    """
    mean, scale = store.normalisation(layer)
    precision = options.precision
    saes = [SAE(a, torch.from_numpy(mean), scale, seed=seed, precision=precision) for a in architectures]
    module = SAETraining(saes, steps=options.steps, warmup=options.warmup, decay=options.decay, clip=options.clip)
    last = working / "last.ckpt"
    with quiet_lightning():
        trainer = plain_trainer(
            options.steps, accelerator=accelerator, devices=devices, num_nodes=num_nodes, enable_progress_bar=progress,
            callbacks=[Resumable(last, options.checkpoint_every), *([_bar()] if progress else [])],
        )  # fmt: skip
        trainer.fit(module, Activations(store, layer, options, seed), ckpt_path=last if last.exists() else None, weights_only=True)
    return [sae.cpu().eval().requires_grad_(False) for sae in saes], module.curve


def plain_trainer(steps: int, **options: object) -> lightning.Trainer:
    """A trainer of so many steps that writes nothing by itself and takes the batches as they come."""
    return lightning.Trainer(
        max_epochs=1, limit_train_batches=steps, logger=False, enable_checkpointing=False, enable_model_summary=False,
        use_distributed_sampler=False, **options,
    )  # fmt: skip


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


def _bar() -> lightning.Callback:
    from lightning.pytorch.callbacks import RichProgressBar

    return RichProgressBar()
