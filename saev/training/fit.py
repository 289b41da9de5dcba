"""One run of the training: the stream, the members, the trainer, resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from torch.utils.data import DataLoader

from saev.activations.store import Store
from saev.activations.stream import ActivationStream
from saev.checks import check_choice, check_int, check_number
from saev.errors import SaevError
from saev.sae.model import SAE, Architecture
from saev.sae.trained import Trained
from saev.training.latent_parallel import LatentParallel, whole
from saev.training.module import SAETraining
from saev.training.trainer import Resumable, TrainingBar, plain_trainer, quiet_lightning

LAST = "last.ckpt"
"""The checkpoint in the working directory."""


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
        trainer = self.trainer
        own = (
            {}
            if isinstance(trainer.strategy, LatentParallel)
            else {"rank": trainer.global_rank, "world": trainer.world_size}
        )
        stream = ActivationStream(
            self.store.tokens(self.layer),
            batch_size=self.options.batch_size,
            window=self.options.window,
            seed=self.seed,
            start=trainer.global_step,
            **own,
        )
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
    parallel: str = "batch",
    progress: bool = False,
) -> tuple[list[SAE], list[dict[str, float]]]:
    """Train one SAE per architecture on `store`, or fit it if it is a baseline, and return them with their loss curve.

    Args:
        layer: which recorded layer.
        seed: of the initial directions and of the shuffle; each member gets what it would get alone.
        working: directory for checkpoints. If a run dies, the next one with the same `working`
            continues from the last of them and ends in the same bytes.
        accelerator, devices, num_nodes: Lightning's; `auto` takes what is there.
        parallel: what several devices divide among them: the tokens of each "batch", or the "latents", for
            dictionaries larger than one device.

    Returns:
        SAEs and curve on the first process; nothing on the others.

    Raises:
        SaevError: devices that are not there; fewer activations than latents that are initialised from them; a loss that is not finite.
    """
    check_choice("machine.parallel", parallel, ("batch", "latents"))
    mean, scale = store.tokens(layer).normalisation()
    callbacks = [
        Resumable(working / LAST, options.checkpoint_every),
        *([TrainingBar(options.batch_size)] if progress else []),
    ]
    with quiet_lightning():
        trainer = plain_trainer(
            options.steps,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            callbacks=callbacks,
            strategy=LatentParallel() if parallel == "latents" else "auto",
        )
        place = {"shard": trainer.global_rank, "shards": trainer.world_size} if parallel == "latents" else {}
        trained, saes = [], []
        for i, architecture in enumerate(architectures):
            if isinstance(architecture, Trained):
                trained.append(i)
                if place and architecture.optimizer == "muon":
                    raise SaevError(
                        "sae.optimizer must be adam where machine.parallel is latents: muon needs whole matrices"
                    )
                saes.append(
                    SAE(
                        architecture,
                        torch.from_numpy(mean),
                        scale,
                        seed=seed,
                        precision=options.precision,
                        **place,
                    )
                )
            else:  # in fp32: a baseline is to be exactly what it is called
                saes.append(SAE(architecture, torch.from_numpy(mean), scale, seed=seed, precision="fp32"))
        learners = [saes[i] for i in trained]
        initialise(learners, store, layer, options.window, seed)
        curve = (
            train(learners, trainer, Activations(store, layer, options, seed), options, working)
            if trained
            else []
        )
    saes = [whole(sae).eval().requires_grad_(False) for sae in saes]
    if trainer.global_rank > 0:
        return [], []
    initialise(
        [sae for sae in saes if not isinstance(sae.architecture, Trained)], store, layer, options.window, seed
    )
    return saes, [{**point, "sae": trained[int(point["sae"])]} for point in curve]


def train(
    saes: list[SAE], trainer: lightning.Trainer, data: Activations, options: Training, working: Path
) -> list[dict[str, float]]:
    """Take all steps, from the last checkpoint if there is one, and return the loss curve."""
    module = SAETraining(
        saes, steps=options.steps, warmup=options.warmup, decay=options.decay, clip=options.clip
    )
    last = working / LAST
    trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
    return module.curve


def initialise(saes: Sequence[SAE], store: Store, layer: int, window: int, seed: int) -> None:
    """Show each SAE as many activations of the store as it wants to start from."""
    for sae in saes:
        architecture, z_md = sae.architecture, torch.zeros(0, sae.d)
        if architecture.sample_size:
            available = store.tokens(layer).n_vectors
            if available < architecture.d_sae:
                raise SaevError(
                    f"{store.path}: {available} activations are too few to initialise sae.d_sae={architecture.d_sae} latents"
                )
            stream = ActivationStream(
                store.tokens(layer),
                batch_size=min(available, architecture.sample_size),
                window=window,
                seed=seed,
            )
            z_md = sae.normalise(next(iter(stream)))
        architecture.initialise(sae, z_md, seed)
