"""What all members of a run share."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from saev.checks import COUNT, Options, above, between

PASSES, REPEATS = 7, 50
"""Over the vectors: usual, and at most."""
FEWEST, MOST_VECTORS = 1000, 10**8
"""Steps on a small store; vectors seen of a large one."""


@dataclass(frozen=True, kw_only=True)
class Training(Options, section="trainer"):
    """Options that all members share; those of one SAE are its Architecture's."""

    steps: Annotated[int, COUNT] | None = None
    """Optimiser steps; None: as many as the amount of data asks for, see `for_vectors`."""
    batch_size: Annotated[int, between(1, 2**24)] = 2048
    """Activation vectors per step, over all devices."""
    window: Annotated[int, between(2, 10**9)] = 32
    """Chunks of the store in memory: half are shuffled together while half are read."""
    warmup: Annotated[float, between(0, 1)] = 0.05
    """Share of the steps over which the learning rate rises linearly from 0."""
    decay: Annotated[float, between(0, 1)] = 0.5
    """Share of the steps, at the end, over which it falls linearly to 0."""
    clip: Annotated[float, above(0)] = 1.0
    """Largest gradient norm of one SAE."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Of the product that codes are selected by; they themselves are those of fp32 (docs/training.md)."""
    checkpoint_every: Annotated[int, COUNT] = 200
    """Steps between resumable checkpoints."""

    @property
    def n_steps(self) -> int:
        """`steps`, once there is a number of them."""
        if self.steps is None:
            raise ValueError("trainer.steps is open; for_vectors gives it a number")
        return self.steps

    def for_vectors(self, n_vectors: int) -> "Training":
        """These options with a number of steps, for a store of so many activation vectors.

            steps = seen / batch_size,  seen = min(10^8, max(7 n, min(50 n, 1000 batch_size)))

        10^8 vectors is the budget of the SAEs of arXiv 2502.06755, less than one pass over ImageNet; 7 passes
        are two more than the embedded study takes; a small store is passed over more often, for 1000 steps,
        but not more than `REPEATS` times, from where on an SAE learns its images by heart.
        """
        if self.steps is not None:
            return self
        floor = min(REPEATS * n_vectors, FEWEST * self.batch_size)
        seen = min(MOST_VECTORS, max(PASSES * n_vectors, floor))
        return replace(self, steps=math.ceil(seen / self.batch_size))

    def repeats(self, n_vectors: int) -> float:
        """How often each of so many vectors is seen, once there is a number of steps."""
        return self.n_steps * self.batch_size / n_vectors
