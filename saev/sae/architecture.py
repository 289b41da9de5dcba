"""What every architecture has: its options, and the hooks that make it different from the others.

All losses are (1/d) [ mean_n ||z - z_hat||^2 + ... ] on inputs normalised to E||z||^2 = d, so
a coefficient has the same meaning for every backbone width.

    select   the pairs (token, latent) that may be active, from pre = (z - b_dec) W_enc + b_enc
    values   their codes f, from their pre-activations
    penalty  what the loss adds to the reconstruction error, times d

`values` and `penalty` work alike on the (m,) selected pairs and on dense (n, s): `latents`
indexes the parameters of the latents, or is slice(None).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from saev.checks import check_choice, check_int, check_number
from saev.errors import SaevError
from saev.sae.kernels.selection import Pairs, pareto_widths, select_above
from saev.sae.kernels.sparse import Codes, owners, to_offsets

if TYPE_CHECKING:
    from saev.sae.model import SAE


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How an SAE encodes: all that inference needs."""

    d_sae: int
    """Number of latents."""

    def __post_init__(self):
        check_int("sae.d_sae", self.d_sae, low=1)

    @property
    def sample_size(self) -> int:
        """How many activations `initialise` wants to see."""
        return 0

    def initialise(self, sae: "SAE", z_md: Tensor, seed: int) -> None:
        """Set the parameters of a new SAE from `sample_size` normalised activations."""

    def extra_parameters(self) -> dict[str, Tensor]:
        """Initial values of what the SAE learns beside its four usual parameters."""
        return {}

    def extra_buffers(self) -> dict[str, Tensor]:
        """Initial values of what it keeps beside them."""
        return {}

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        """At inference."""
        return select_above(pre_ns, 0.0)

    def values(self, sae: "SAE", pre: Tensor, latents: Tensor | slice) -> Tensor:
        return pre.relu()

    def codes(self, sae: "SAE", pre_ns: Tensor) -> Codes:
        """The codes at inference, those above 0."""
        latents, offsets = self.select(sae, pre_ns)
        tokens = owners(offsets)
        values = self.values(sae, pre_ns[tokens, latents].float(), latents)
        fires = values > 0
        return Codes(
            values[fires], latents[fires], to_offsets(torch.bincount(tokens[fires], minlength=len(pre_ns)))
        )


@dataclass(frozen=True, kw_only=True)
class Trained(Architecture):
    """One that gradients train."""

    limited: ClassVar[bool] = False
    """Whether `select_training` leaves out positive pre-activations; else all pairs may stand for the selected."""

    prefixes: tuple[int, ...] = ()
    """Matryoshka (Bussmann et al. 2025, arXiv 2503.17547): widths of nested dictionaries, ascending, below d_sae. Each
    must reconstruct on its own; the loss is the mean over them and the full dictionary. The first
    latents then stand for whole concepts instead of being split among ever finer ones."""
    random_prefixes: int = 0
    """Instead of fixed ones, so many widths drawn anew at every step (`pareto_widths`)."""
    aux_k: int = 0
    """AuxK (Gao et al. 2024, arXiv 2406.04093, A.2): so many latents among the dead learn to reconstruct the residual
    e = z - z_hat, which is not changed by it: loss += aux_weight * ||e - e_hat||^2 / ||e||^2. 0: none."""
    aux_weight: float = 1 / 32
    """Weight of that loss."""
    dead_after: int = 1_000_000
    """A latent is dead once it has not fired for so many tokens."""
    data_init: float = 0.0
    """Share of data in the initial directions: decoder rows start as unit(p unit(z) + (1 - p) random) of random tokens z.
    0: random directions. The encoder always starts as the decoder's transpose, and b_dec at the mean."""
    unit_norm: bool = True
    """Keep decoder rows at unit norm; else they are free, and an L1 penalty weights codes by them (Conerly et al. 2024)."""
    optimizer: str = "adam"
    """adam, or muon (Jordan et al. 2024) for the two matrices and adam for the rest; the learning rate means the same."""
    lr: float = 1e-3
    """Peak learning rate."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "prefixes", tuple(self.prefixes))
        for below, width in zip((0, *self.prefixes), self.prefixes, strict=False):
            check_int("sae.prefixes", width, low=below + 1, high=self.d_sae - 1)
        check_int("sae.random_prefixes", self.random_prefixes, low=0, high=max(0, self.d_sae // 2))
        if self.prefixes and self.random_prefixes:
            raise SaevError(
                f"sae.random_prefixes must be 0 where sae.prefixes are given, got {self.random_prefixes} and {self.prefixes}"
            )
        check_int("sae.aux_k", self.aux_k, low=0, high=self.d_sae)
        check_number("sae.aux_weight", self.aux_weight, low=0)
        check_int("sae.dead_after", self.dead_after, low=1)
        check_number("sae.data_init", self.data_init, low=0, high=1)
        check_choice("sae.unit_norm", self.unit_norm, (True, False))
        check_choice("sae.optimizer", self.optimizer, ("adam", "muon"))
        check_number("sae.lr", self.lr, low=0, above=True)

    @property
    def sample_size(self) -> int:
        return self.d_sae if self.data_init else 0

    def initialise(self, sae: "SAE", z_md: Tensor, seed: int) -> None:
        if self.data_init:
            rows = torch.lerp(
                sae.W_dec.detach(), F.normalize(z_md[sae.shard :: sae.shards], dim=1), self.data_init
            )
            sae.point(F.normalize(rows, dim=1))

    def widths(self, step: int) -> tuple[int, ...]:
        """The dictionaries that must reconstruct in this step, the full one last."""
        return (
            pareto_widths(self.d_sae, self.random_prefixes, 0, step)
            if self.random_prefixes
            else (*self.prefixes, self.d_sae)
        )

    def select_training(self, sae: "SAE", pre_ns: Tensor, progress: float) -> Pairs:
        """In a training step, after a share `progress` of the training."""
        return self.select(sae, pre_ns)

    def penalty(
        self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float
    ) -> Tensor | float:
        return 0.0

    def gate(self, pre: Tensor) -> Tensor | None:
        """Codes that must reconstruct alone, with the decoder held fixed; None: no such term in the loss."""

    def project(self, sae: "SAE") -> None:
        """Bring its own parameters back to where they may be, after an optimiser step."""


def rise(progress: float, warmup: float) -> float:
    """A coefficient's share after `progress` of the training: linear from 0 to 1 over `warmup`."""
    return min(progress / warmup, 1.0) if warmup else 1.0
