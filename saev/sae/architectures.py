"""The architectures: each class is one method, its fields the knobs, its methods the formulas.

All losses are (1/d) [ mean_n ||z - z_hat||^2 + ... ] on inputs normalised to E||z||^2 = d, so
a coefficient has the same meaning for every backbone width. Decoder rows have unit norm.

    select   the pairs (token, latent) that may be active, from pre = (z - b_dec) W_enc + b_enc
    values   their codes f, from their pre-activations
    penalty  what the loss adds to the reconstruction error, times d

`values` and `penalty` work alike on the (m,) selected pairs and on dense (n, s): `latents`
indexes the parameters of the latents, or is slice(None).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from saev.errors import SaevError
from saev.options import check_int, check_number
from saev.sae.selection import Pairs, pareto_widths, select_above, select_batch_topk, select_topk

if TYPE_CHECKING:
    from saev.sae.model import SAE


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What all share."""

    limited: ClassVar[bool] = False
    """Whether `select_training` leaves out positive pre-activations; else all pairs may stand for the selected."""

    d_sae: int
    """Number of latents."""
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
    lr: float = 1e-3
    """Peak learning rate of Adam."""

    def __post_init__(self):
        check_int("sae.d_sae", self.d_sae, low=1)
        object.__setattr__(self, "prefixes", tuple(self.prefixes))
        for below, width in zip((0, *self.prefixes), self.prefixes, strict=False):
            check_int("sae.prefixes", width, low=below + 1, high=self.d_sae - 1)
        check_int("sae.random_prefixes", self.random_prefixes, low=0, high=max(0, self.d_sae // 2))
        if self.prefixes and self.random_prefixes:
            raise SaevError(f"sae.random_prefixes must be 0 where sae.prefixes are given, got {self.random_prefixes} and {self.prefixes}")
        check_int("sae.aux_k", self.aux_k, low=0, high=self.d_sae)
        check_number("sae.aux_weight", self.aux_weight, low=0)
        check_int("sae.dead_after", self.dead_after, low=1)
        check_number("sae.lr", self.lr, low=0, above=True)

    def widths(self, step: int) -> tuple[int, ...]:
        """The dictionaries that must reconstruct in this step, the full one last."""
        return pareto_widths(self.d_sae, self.random_prefixes, 0, step) if self.random_prefixes else (*self.prefixes, self.d_sae)

    def extra_parameters(self) -> dict[str, Tensor]:
        """Initial values of what the SAE learns beside its four usual parameters."""
        return {}

    def extra_buffers(self) -> dict[str, Tensor]:
        """Initial values of what it keeps beside them."""
        return {}

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        """At inference."""
        return select_above(pre_ns, 0.0)

    def select_training(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        """In a training step."""
        return self.select(sae, pre_ns)

    def values(self, sae: "SAE", pre: Tensor, latents: Tensor | slice) -> Tensor:
        return pre.relu()

    def penalty(self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float) -> Tensor | float:
        return 0.0

    def gate(self, pre: Tensor) -> Tensor | None:
        """Codes that must reconstruct alone, with the decoder held fixed; None: no such term in the loss."""

    def project(self, sae: "SAE") -> None:
        """Bring its own parameters back to where they may be, after an optimiser step."""


@dataclass(frozen=True, kw_only=True)
class TopK(Architecture):
    """f = ReLU(top_k(pre)) (Gao et al. 2024, section 2.3). No penalty: k sets the sparsity."""

    limited = True

    k: int = 32
    """Latents that may be active on one token."""

    def __post_init__(self):
        super().__post_init__()
        check_int("sae.k", self.k, low=1, high=self.d_sae)

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        return select_topk(pre_ns, self.k)


@dataclass(frozen=True, kw_only=True)
class BatchTopK(Architecture):
    """The k * n largest ReLU(pre) of a batch of n tokens (Bussmann et al. 2024, arXiv 2412.06410).

    At inference f = ReLU(pre) where pre > threshold, the running mean of the batches' smallest
    code; it is part of the checkpoint. Over several processes the batch is the global one.
    """

    limited = True

    k: int = 32
    """Mean number of active latents per token."""
    threshold_rate: float = 0.01
    """Weight of a new batch in the running mean."""

    def __post_init__(self):
        super().__post_init__()
        check_int("sae.k", self.k, low=1, high=self.d_sae)
        check_number("sae.threshold_rate", self.threshold_rate, low=0, high=1, above=True)

    def extra_buffers(self) -> dict[str, Tensor]:
        return {"threshold": torch.tensor(-1.0)}  # before the first batch

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        return select_above(pre_ns, sae.threshold.clamp(min=0))

    def select_training(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        pairs, smallest = select_batch_topk(pre_ns, self.k)
        rate = torch.where(sae.threshold < 0, 1.0, self.threshold_rate)
        sae.threshold.lerp_(smallest.to(sae.threshold.dtype), rate)
        return pairs


@dataclass(frozen=True, kw_only=True)
class _L1(Architecture):
    """An L1 penalty that is warmed up."""

    l1: float = 1.0
    """Coefficient of the penalty."""
    l1_warmup: float = 0.2
    """Share of the training over which the coefficient rises linearly from 0."""

    def __post_init__(self):
        super().__post_init__()
        check_number("sae.l1", self.l1, low=0)
        check_number("sae.l1_warmup", self.l1_warmup, low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class ReLU(_L1):
    """f = ReLU(pre) with an L1 penalty (Bricken et al. 2023; Conerly et al. 2024): l1 * mean_n sum_s f_s ||w_s||."""

    def penalty(self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float) -> Tensor:
        return self.l1 * rise(progress, self.l1_warmup) * values.sum() / n  # the decoder norm of the formula is 1


@dataclass(frozen=True, kw_only=True)
class JumpReLU(Architecture):
    """f = pre * H(pre - theta) with an L0 penalty (Rajamanoharan et al. 2024, arXiv 2407.14435): l0 * mean_n sum_s H(pre - theta).

    theta is trained through straight-through estimators of width eps: with R the indicator
    of |pre - theta| < eps / 2,

        d f / d theta = -(theta / eps) R        d H / d theta = -(1 / eps) R

    theta itself is the parameter, not its logarithm, which Adam would hardly move; it is
    kept at or above 0.
    """

    l0: float = 0.5
    """Coefficient of the penalty."""
    l0_warmup: float = 0.2
    """Share of the training over which the coefficient rises linearly from 0."""
    theta: float = 0.1
    """Initial threshold of every latent."""
    bandwidth: float = 0.1
    """eps, in units of normalised pre-activations."""

    def __post_init__(self):
        super().__post_init__()
        check_number("sae.l0", self.l0, low=0)
        check_number("sae.l0_warmup", self.l0_warmup, low=0, high=1)
        check_number("sae.theta", self.theta, low=0)
        check_number("sae.bandwidth", self.bandwidth, low=0, above=True)

    def extra_parameters(self) -> dict[str, Tensor]:
        return {"theta": torch.full((self.d_sae,), float(self.theta))}

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        return select_above(pre_ns, sae.theta)

    def select_training(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        # Those just below their threshold as well: they move it.
        return select_above(pre_ns, sae.theta - self.bandwidth / 2)

    def values(self, sae: "SAE", pre: Tensor, latents: Tensor | slice) -> Tensor:
        return _Jump.apply(pre, sae.theta[latents].expand_as(pre), self.bandwidth)

    def penalty(self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float) -> Tensor:
        steps = _Step.apply(pre.detach(), sae.theta[latents].expand_as(pre), self.bandwidth)
        return self.l0 * rise(progress, self.l0_warmup) * steps.sum() / n

    def project(self, sae: "SAE") -> None:
        sae.theta.clamp_(min=0)


@dataclass(frozen=True, kw_only=True)
class Gated(_L1):
    """f = H(pre) * ReLU(mag), mag = e^r * (z - b_dec) W_enc + b_mag (Rajamanoharan et al. 2024, arXiv 2404.16014).

    Penalty: l1 * mean_n sum_s ReLU(pre)_s, and the gate must reconstruct alone, with the decoder held
    fixed: mean_n ||z - ReLU(pre) sg(W_dec) - sg(b_dec)||^2.
    """

    def extra_parameters(self) -> dict[str, Tensor]:
        return {"r_mag": torch.zeros(self.d_sae), "b_mag": torch.zeros(self.d_sae)}

    def values(self, sae: "SAE", pre: Tensor, latents: Tensor | slice) -> Tensor:
        magnitude = (pre - sae.b_enc[latents]) * sae.r_mag[latents].exp() + sae.b_mag[latents]
        return magnitude.relu() * (pre > 0)

    def penalty(self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float) -> Tensor:
        return self.l1 * rise(progress, self.l1_warmup) * pre.relu().sum() / n

    def gate(self, pre: Tensor) -> Tensor:
        return pre.relu()


ARCHITECTURES = {kind.__name__: kind for kind in (TopK, BatchTopK, ReLU, JumpReLU, Gated)}
"""By the name that checkpoints carry."""


def rise(progress: float, warmup: float) -> float:
    """A coefficient's share after `progress` of the training: linear from 0 to 1 over `warmup`."""
    return min(progress / warmup, 1.0) if warmup else 1.0


class _Jump(torch.autograd.Function):
    """pre * H(pre - theta), with the straight-through gradient to theta."""

    @staticmethod
    def forward(ctx, pre, theta, bandwidth):
        ctx.save_for_backward(pre, theta)
        ctx.bandwidth = bandwidth
        return pre * (pre > theta)

    @staticmethod
    def backward(ctx, grad):
        pre, theta = ctx.saved_tensors
        near = (pre - theta).abs() < ctx.bandwidth / 2
        return grad * (pre > theta), -theta / ctx.bandwidth * near * grad, None


class _Step(torch.autograd.Function):
    """H(pre - theta), with the straight-through gradient to theta."""

    @staticmethod
    def forward(ctx, pre, theta, bandwidth):
        ctx.save_for_backward(pre, theta)
        ctx.bandwidth = bandwidth
        return (pre > theta).to(pre.dtype)

    @staticmethod
    def backward(ctx, grad):
        pre, theta = ctx.saved_tensors
        near = (pre - theta).abs() < ctx.bandwidth / 2
        return None, -near.to(grad.dtype) / ctx.bandwidth * grad, None
