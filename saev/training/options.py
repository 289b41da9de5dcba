"""What all members of a run share."""

from dataclasses import dataclass
from typing import Annotated, Literal

from saev.checks import Options, above, at_least, between


@dataclass(frozen=True, kw_only=True)
class Training(Options, section="trainer"):
    """Options that all members share; those of one SAE are its Architecture's."""

    steps: Annotated[int, at_least(1)]
    """Optimiser steps."""
    batch_size: Annotated[int, at_least(1)] = 2048
    """Activation vectors per step, over all devices."""
    window: Annotated[int, at_least(2)] = 32
    """Chunks of the store in memory: half are shuffled together while half are read."""
    warmup: Annotated[float, between(0, 1)] = 0.05
    """Share of the steps over which the learning rate rises linearly from 0."""
    decay: Annotated[float, between(0, 1)] = 0.5
    """Share of the steps, at the end, over which it falls linearly to 0."""
    clip: Annotated[float, above(0)] = 1.0
    """Largest gradient norm of one SAE."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the encoder product; `auto` is bf16 where the hardware multiplies it natively."""
    checkpoint_every: Annotated[int, at_least(1)] = 200
    """Steps between resumable checkpoints."""
