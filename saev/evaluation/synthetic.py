"""Data whose true dictionary is known, and how much of it an SAE finds.

    x[n] = sum_g a[n, g] * D[g] + noise

D has unit rows in random directions; feature g is active with probability p_g, which falls as
a power of g, with an amplitude |N(1, spread)|.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.utils.data import IterableDataset

from saev.checks import check_int, check_number
from saev.errors import SaevError
from saev.machine import Machine
from saev.sae.model import SAE, Architecture
from saev.sae.trained import Trained
from saev.training.loop import Loop
from saev.training.options import Training


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A setting. The default is an easy one: twice as many features as dimensions, few at a time, hardly any
    noise."""

    d: int = 64
    """Width of the data."""
    n_features: int = 128
    """Rows of the true dictionary."""
    active: float = 4.0
    """Mean number of active features per token."""
    decay: float = 0.0
    """p_g is proportional to (g + 1)^-decay; 0: all features are equally frequent."""
    spread: float = 0.25
    """Standard deviation of the amplitudes."""
    noise: float = 0.01
    """Standard deviation of the noise per dimension."""
    seed: int = 0
    """Of the dictionary."""

    def __post_init__(self):
        check_int("d", self.d, low=2)
        check_int("n_features", self.n_features, low=2)
        check_number("active", self.active, low=0, high=self.n_features, above=True)
        for name in ("decay", "spread", "noise"):
            check_number(name, getattr(self, name), low=0)

    @property
    def dictionary(self) -> Tensor:
        """D, (n_features, d)."""
        rows = torch.randn(self.n_features, self.d, generator=torch.Generator().manual_seed(self.seed))
        return torch.nn.functional.normalize(rows, dim=1)

    @property
    def probability(self) -> Tensor:
        """p, (n_features,)."""
        weight = torch.arange(1, self.n_features + 1) ** -self.decay
        return (self.active * weight / weight.sum()).clamp(max=1)

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """(x (n, d), amplitudes a (n, n_features)) of n tokens."""
        generator = torch.Generator().manual_seed(seed)
        active = torch.rand(n, self.n_features, generator=generator) < self.probability
        amplitudes = active * (1 + self.spread * torch.randn(n, self.n_features, generator=generator)).abs()
        return amplitudes @ self.dictionary + self.noise * torch.randn(
            n, self.d, generator=generator
        ), amplitudes


class _Stream(IterableDataset):
    def __init__(
        self, truth: Truth, batch_size: int, start: int, part: tuple[int, int], device: torch.device
    ):
        self.truth, self.batch_size, self.start, self.device = truth, batch_size, start, device

    def __iter__(self) -> Iterator[Tensor]:
        step = self.start
        while True:
            yield self.truth.sample(self.batch_size, 1_000_000 + step)[0].to(self.device)
            step += 1


def train_on(
    truth: Truth, architectures: Sequence[Architecture], *, steps: int, batch_size: int = 1024, seed: int = 1
) -> list[SAE]:
    """Train one SAE per architecture on the data of `truth`, or fit it, on the CPU, with the project's own
    training module."""
    if seed == truth.seed:
        raise SaevError(
            f"seed {seed} is the dictionary's own: the SAEs would start with the truth as their directions"
        )
    x, _ = truth.sample(20_000, 0)
    mean = x.mean(0)
    scale = float((x - mean).norm(dim=1).mean() / truth.d**0.5)
    saes = [SAE(architecture, mean, scale, seed=seed) for architecture in architectures]
    for sae in saes:
        sae.architecture.initialise(sae, sae.normalise(x)[: sae.architecture.sample_size], seed)
    trained = [sae for sae in saes if isinstance(sae.architecture, Trained)]
    if trained:
        loop = Loop(Training(steps=steps, batch_size=batch_size), Machine(accelerator="cpu", devices=1))
        loop.run({f"SAE {i}": sae for i, sae in enumerate(trained)}, partial(_Stream, truth, batch_size))
    return [sae.eval().requires_grad_(False) for sae in saes]


@torch.no_grad()
def recovery(sae: SAE, truth: Truth, n: int = 10_000) -> dict[str, float]:
    """How much of the truth is found.

    mmcs  mean over the true features of the largest cosine with a decoder row
    f1    mean over the true features of the F1 between "the feature is active" and "its latent is
          active", latents matched one to one by cosine (Hungarian method), on n fresh tokens
    l0    mean number of active latents, to compare with the truth's `active`
    nmse  reconstruction error over that of the mean
    """
    cosine = truth.dictionary @ torch.nn.functional.normalize(sae.W_dec, dim=1).T
    features, latents = linear_sum_assignment(-cosine.numpy())
    x, amplitudes = truth.sample(n, 1)
    f = sae.encode(x)
    there, found = (amplitudes[:, features] > 0).numpy(), (f[:, latents] > 0).numpy()
    hits = (there & found).sum(0)
    f1 = 2 * hits / np.maximum(there.sum(0) + found.sum(0), 1)
    nmse = (x - sae.decode(f)).square().sum() / (x - x.mean(0)).square().sum()
    return {
        "mmcs": cosine.max(1).values.mean().item(),
        "f1": float(f1.sum() / truth.n_features),
        "l0": (f > 0).sum(1).float().mean().item(),
        "nmse": nmse.item(),
    }
