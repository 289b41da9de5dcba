"""The architectures that are trained: each class is one method, its fields the knobs, its methods the formulas."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saev.checks import check_int, check_number
from saev.sae.architecture import Trained, rise
from saev.sae.kernels.selection import Pairs, select_above, select_batch_topk, select_topk

if TYPE_CHECKING:
    from saev.sae.model import SAE


@dataclass(frozen=True, kw_only=True)
class _K(Trained):
    """A fixed number of active latents, which may fall during the training."""

    limited = True

    k: int = 32
    """Active latents per token."""
    k_start: int | None = None
    """Active latents per token at the start of the training; None: k."""
    k_anneal: float = 0.2
    """Share of the training over which they fall linearly from k_start to k."""

    def __post_init__(self):
        super().__post_init__()
        check_int("sae.k", self.k, low=1, high=self.d_sae)
        if self.k_start is not None:
            check_int("sae.k_start", self.k_start, low=self.k, high=self.d_sae)
        check_number("sae.k_anneal", self.k_anneal, low=0, high=1)

    def k_after(self, progress: float) -> int:
        """k after a share `progress` of the training."""
        return self.k + round(((self.k_start or self.k) - self.k) * (1 - rise(progress, self.k_anneal)))


@dataclass(frozen=True, kw_only=True)
class TopK(_K):
    """f = ReLU(top_k(pre)) (Gao et al. 2024, section 2.3). No penalty: k sets the sparsity."""

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        return select_topk(pre_ns, self.k)

    def select_training(self, sae: "SAE", pre_ns: Tensor, progress: float) -> Pairs:
        return select_topk(pre_ns, self.k_after(progress), sae.shards)


@dataclass(frozen=True, kw_only=True)
class BatchTopK(_K):
    """The k * n largest ReLU(pre) of a batch of n tokens (Bussmann et al. 2024, arXiv 2412.06410).

    At inference f = ReLU(pre) where pre > threshold, the running mean of the batches' smallest
    code; it is part of the checkpoint. Over several processes the batch is the global one.
    """

    threshold_rate: float = 0.01
    """Weight of a new batch in the running mean."""

    def __post_init__(self):
        super().__post_init__()
        check_number("sae.threshold_rate", self.threshold_rate, low=0, high=1, above=True)

    def extra_buffers(self) -> dict[str, Tensor]:
        return {"threshold": torch.tensor(-1.0)}  # before the first batch

    def select(self, sae: "SAE", pre_ns: Tensor) -> Pairs:
        return select_above(pre_ns, sae.threshold.clamp(min=0))

    def select_training(self, sae: "SAE", pre_ns: Tensor, progress: float) -> Pairs:
        k = self.k_after(progress)
        pairs, smallest = select_batch_topk(pre_ns, k, sae.shards)
        # While k falls a mean over past batches would be that of a larger k.
        rate = torch.where((sae.threshold < 0) | (k > self.k), 1.0, self.threshold_rate)
        sae.threshold.lerp_(smallest.to(sae.threshold.dtype), rate)
        return pairs


@dataclass(frozen=True, kw_only=True)
class _L1(Trained):
    """An L1 penalty that is warmed up."""

    l1: float = 1.0
    """Coefficient of the penalty."""
    l1_warmup: float = 0.2
    """Share of the training over which the coefficient rises linearly from 0."""

    def __post_init__(self):
        super().__post_init__()
        check_number("sae.l1", self.l1, low=0)
        check_number("sae.l1_warmup", self.l1_warmup, low=0, high=1)

    def l1_penalty(
        self, sae: "SAE", values: Tensor, latents: Tensor | slice, n: int, progress: float
    ) -> Tensor:
        """l1 * mean_n sum_s f_s ||w_s||."""
        lengths = 1.0 if self.unit_norm else torch.linalg.vector_norm(sae.W_dec, dim=1)[latents]
        return self.l1 * rise(progress, self.l1_warmup) * (values * lengths).sum() / n


@dataclass(frozen=True, kw_only=True)
class ReLU(_L1):
    """f = ReLU(pre) with an L1 penalty (Bricken et al. 2023; Conerly et al. 2024): l1 * mean_n sum_s f_s ||w_s||."""

    def penalty(
        self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float
    ) -> Tensor:
        return self.l1_penalty(sae, values, latents, n, progress)


@dataclass(frozen=True, kw_only=True)
class JumpReLU(Trained):
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

    def select_training(self, sae: "SAE", pre_ns: Tensor, progress: float) -> Pairs:
        # Those just below their threshold as well: they move it.
        return select_above(pre_ns, sae.theta - self.bandwidth / 2)

    def values(self, sae: "SAE", pre: Tensor, latents: Tensor | slice) -> Tensor:
        return _Jump.apply(pre, sae.theta[latents].expand_as(pre), self.bandwidth)

    def penalty(
        self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float
    ) -> Tensor:
        steps = _Step.apply(pre.detach(), sae.theta[latents].expand_as(pre), self.bandwidth)
        return self.l0 * rise(progress, self.l0_warmup) * steps.sum() / n

    def project(self, sae: "SAE") -> None:
        sae.theta.clamp_(min=0)


@dataclass(frozen=True, kw_only=True)
class Gated(_L1):
    """f = H(pre) * ReLU(mag), mag = e^r * (z - b_dec) W_enc + b_mag (Rajamanoharan et al. 2024, arXiv 2404.16014).

    Penalty: l1 * mean_n sum_s ReLU(pre)_s ||w_s||, and the gate must reconstruct alone, with the decoder held
    fixed: mean_n ||z - ReLU(pre) sg(W_dec) - sg(b_dec)||^2.
    """

    def extra_parameters(self) -> dict[str, Tensor]:
        return {"r_mag": torch.zeros(self.d_sae), "b_mag": torch.zeros(self.d_sae)}

    def values(self, sae: "SAE", pre: Tensor, latents: Tensor | slice) -> Tensor:
        magnitude = (pre - sae.b_enc[latents]) * sae.r_mag[latents].exp() + sae.b_mag[latents]
        return magnitude.relu() * (pre > 0)

    def penalty(
        self, sae: "SAE", pre: Tensor, values: Tensor, latents: Tensor | slice, n: int, progress: float
    ) -> Tensor:
        return self.l1_penalty(sae, pre.relu(), latents, n, progress)

    def gate(self, pre: Tensor) -> Tensor:
        return pre.relu()


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
