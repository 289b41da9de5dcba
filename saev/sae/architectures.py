"""The architectures that are trained: each class a method, its fields the knobs, its methods the formulas."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from saev.checks import above, between
from saev.machine import distributed
from saev.sae.kernels.scores import Scores
from saev.sae.kernels.selection import batch_places, select_batch_topk, select_topk
from saev.sae.kernels.sparse import Pairs
from saev.sae.model import SAE
from saev.sae.trained import Step, Trained, rise


@dataclass(frozen=True, kw_only=True)
class _K(Trained):
    """A fixed number of active latents, which may fall during the training."""

    competitive = True

    k: Annotated[int, between(1, "d_sae")] = 32
    """Active latents per token."""
    k_start: Annotated[int, between("k", "d_sae")] | None = None
    """Active latents per token at the start of the training; None: k."""
    k_anneal: Annotated[float, between(0, 1)] = 0.2
    """Share of the training over which they fall linearly from k_start to k."""

    def k_after(self, progress: float) -> int:
        """k after a share `progress` of the training."""
        return self.k + round(((self.k_start or self.k) - self.k) * (1 - rise(progress, self.k_anneal)))


@dataclass(frozen=True, kw_only=True)
class TopK(_K):
    """f = ReLU(top_k(pre)) (Gao et al. 2024, section 2.3). No penalty: k sets the sparsity."""

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        return select_topk(scores, self.k)

    def select_training(self, sae: SAE, scores: Scores, progress: float) -> Pairs:
        return select_topk(scores, self.k_after(progress), sae.shards)


@dataclass(frozen=True, kw_only=True)
class BatchTopK(_K):
    """The k * n largest ReLU(pre) of a batch of n tokens (Bussmann et al. 2024, arXiv 2412.06410).

    At inference f = ReLU(pre) where pre > threshold, the running mean of the batches' smallest
    code; it is part of the checkpoint. Over several processes the batch is the global one.
    """

    threshold_rate: Annotated[float, above(0, up_to=1)] = 0.01
    """Weight of a new batch in the running mean."""

    def extra_buffers(self) -> dict[str, Tensor]:
        return {"threshold": torch.tensor(-1.0)}  # before the first batch

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        return scores.above(sae.threshold.clamp(min=0))

    def select_training(self, sae: SAE, scores: Scores, progress: float) -> Pairs:
        return select_batch_topk(scores, self.k_after(progress), sae.shards)

    @torch.no_grad()
    def observe(self, sae: SAE, step: Step) -> None:
        """Move the threshold towards the batch's smallest code, 0 if there were places left."""
        k, codes = self.k_after(step.progress), step.values.detach()
        taken = distributed.total(torch.tensor(len(codes), device=codes.device))
        smallest = distributed.gather(F.pad(codes, (0, 1), value=torch.inf).min().view(1)).min()
        smallest = torch.where(taken < batch_places(k, step.n, sae.shards), 0.0, smallest)
        # While k falls a mean over past batches would be that of a larger k.
        rate = torch.where((sae.threshold < 0) | (k > self.k), 1.0, self.threshold_rate)
        sae.threshold.lerp_(smallest.to(sae.threshold.dtype), rate)


@dataclass(frozen=True, kw_only=True)
class _L1(Trained):
    """An L1 penalty that is warmed up."""

    l1: Annotated[float, between(0, 1e6)] = 1.0
    """Coefficient of the penalty."""
    l1_warmup: Annotated[float, between(0, 1)] = 0.2
    """Share of the training over which the coefficient rises linearly from 0."""

    def l1_of(self, f: Tensor, sae: SAE, step: Step) -> Tensor:
        """l1 * mean_n sum_s f_s ||w_s||, warmed up."""
        lengths = 1.0 if self.unit_norm else torch.linalg.vector_norm(sae.W_dec, dim=1)[step.latents]
        return self.l1 * rise(step.progress, self.l1_warmup) * (f * lengths).sum() / step.n


@dataclass(frozen=True, kw_only=True)
class ReLU(_L1):
    """f = ReLU(pre), penalty l1 * mean_n sum_s f_s ||w_s|| (Bricken et al. 2023; Conerly et al. 2024)."""

    def penalty(self, sae: SAE, step: Step) -> Tensor:
        return self.l1_of(step.values, sae, step)


@dataclass(frozen=True, kw_only=True)
class JumpReLU(Trained):
    """f = pre * H(pre - theta), penalty l0 * mean_n sum_s H(pre - theta).

    (Rajamanoharan et al. 2024, arXiv 2407.14435.) theta is trained through straight-through estimators of
    width eps: with R the indicator of |pre - theta| < eps / 2,

        d f / d theta = -(theta / eps) R        d H / d theta = -(1 / eps) R

    theta itself is the parameter, not its logarithm, which Adam would hardly move; it is
    kept at or above 0.
    """

    l0: Annotated[float, between(0, 1e6)] = 0.5
    """Coefficient of the penalty."""
    l0_warmup: Annotated[float, between(0, 1)] = 0.2
    """Share of the training over which the coefficient rises linearly from 0."""
    theta: Annotated[float, between(0, 1e6)] = 0.1
    """Initial threshold of every latent."""
    bandwidth: Annotated[float, above(0, up_to=1e6)] = 0.1
    """eps, in units of normalised pre-activations."""

    def extra_parameters(self) -> dict[str, Tensor]:
        return {"theta": torch.full((self.d_sae,), float(self.theta))}

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        return scores.above(sae.theta)

    def select_training(self, sae: SAE, scores: Scores, progress: float) -> Pairs:
        # Those just below their threshold as well: they move it.
        return scores.above(sae.theta - self.bandwidth / 2)

    def values(self, sae: SAE, pre: Tensor, latents: Tensor | slice) -> Tensor:
        return _Jump.apply(pre, sae.theta[latents].expand_as(pre), self.bandwidth)

    def penalty(self, sae: SAE, step: Step) -> Tensor:
        theta = sae.theta[step.latents].expand_as(step.pre)
        active = _Heaviside.apply(step.pre.detach(), theta, self.bandwidth)
        return self.l0 * rise(step.progress, self.l0_warmup) * active.sum() / step.n

    def project(self, sae: SAE) -> None:
        super().project(sae)
        sae.theta.clamp_(min=0)


@dataclass(frozen=True, kw_only=True)
class Gated(_L1):
    """f = H(pre) * ReLU(mag), mag = e^r * (z - b_dec) W_enc + b_mag.

    (Rajamanoharan et al. 2024, arXiv 2404.16014.) Penalty: l1 * mean_n sum_s ReLU(pre)_s ||w_s||. The gate
    must reconstruct alone, with the decoder held fixed: + mean_n ||z - ReLU(pre) sg(W_dec) - sg(b_dec)||^2.
    """

    def extra_parameters(self) -> dict[str, Tensor]:
        return {"r_mag": torch.zeros(self.d_sae), "b_mag": torch.zeros(self.d_sae)}

    def values(self, sae: SAE, pre: Tensor, latents: Tensor | slice) -> Tensor:
        magnitude = (pre - sae.b_enc[latents]) * sae.r_mag[latents].exp() + sae.b_mag[latents]
        return magnitude.relu() * (pre > 0)

    def penalty(self, sae: SAE, step: Step) -> Tensor:
        return self.l1_of(step.pre.relu(), sae, step)

    def gate(self, step: Step) -> Tensor:
        return step.pre.relu()


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


class _Heaviside(torch.autograd.Function):
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
