"""Sparse codes and the products with them, forward and backward.

An SAE is dense only in its encoder product. Everything after the selection involves the
few active latents, and every such product is a weighted sum of rows, an *embedding bag*:

    x_hat[n]     = sum over latents s active on n of  f[n, s] * W_dec[s]
    dL/dW_dec[s] = sum over tokens n on which s fires of  f[n, s] * dL/dx_hat[n]
    dL/dW_enc[s] = sum over tokens n on which s fires of  dL/df[n, s] * (x[n] - b_dec)

The last two are bags over the transposed codes, so one sort by latent serves both. No
(n, s) gradient is ever formed. torch's CSR product is as quick but needs MKL; bags run
wherever torch does.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Codes(NamedTuple):
    """The active latents of n tokens in CSR form; m is the number of pairs (token, latent)."""

    values: Tensor
    """(m,) float32, positive."""
    latents: Tensor
    """(m,) int64, which latent each value belongs to."""
    offsets: Tensor
    """(n + 1,) int64: token i owns values[offsets[i] : offsets[i + 1]]."""

    def dense(self, d_sae: int) -> Tensor:
        """(n, d_sae)."""
        rows = torch.repeat_interleave(torch.arange(len(self.offsets) - 1, device=self.values.device), self.offsets.diff())
        return self.values.new_zeros(len(self.offsets) - 1, d_sae).index_put((rows, self.latents), self.values)


def select_topk(pre_ns: Float[Tensor, "n s"], k: int) -> tuple[Int[Tensor, " m"], Int[Tensor, " n_plus_1"]]:
    """The k largest pre-activations of each token as (latents, offsets), the negative ones included.

    Keeping them makes every bag k long; their value is 0 and so is their gradient.
    """
    latents = pre_ns.topk(k, dim=1, sorted=False).indices
    return latents.flatten(), torch.arange(0, latents.numel() + 1, k, device=pre_ns.device)


def select_positive(pre_ns: Float[Tensor, "n s"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " n_plus_1"]]:
    """All positive pre-activations as (latents, offsets)."""
    active = pre_ns > 0
    return active.nonzero()[:, 1], F.pad(active.sum(1).cumsum(0), (1, 0))


def bag(
    rows: Int[Tensor, " m"], offsets: Int[Tensor, " bags_plus_1"], weights: Float[Tensor, " m"], matrix: Float[Tensor, "r d"]
) -> Float[Tensor, "bags d"]:
    """out[i] = sum over j in offsets[i]..offsets[i+1] of weights[j] * matrix[rows[j]]."""
    return F.embedding_bag(rows, matrix, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


def bag_weight_gradient(rows: Tensor, offsets: Tensor, weights: Tensor, matrix: Tensor, grad_out: Tensor) -> Tensor:
    """d<grad_out, bag(...)> / dweights: the inner products <grad_out[i], matrix[rows[j]]>.

    torch has a fused kernel for it but only as this gradient; running the bag again (1 ms)
    beats gathering the rows (33 ms at 2048 tokens x 32 latents x 384).
    """
    weights = weights.detach().requires_grad_()
    with torch.enable_grad():
        out = bag(rows, offsets, weights, matrix.detach())
    return torch.autograd.grad(out, weights, grad_out)[0]


def group_by_prefix(latents: Tensor, offsets: Tensor, prefixes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Split every token's codes at the prefix widths, into bags (token, group), for Matryoshka losses.

    Group g holds the latents from the (g-1)-th prefix width up to the g-th, so the sum of
    the first g bags of a token is its reconstruction from the g-th prefix.

    Returns:
        latents, token by token in ascending order; offsets of the n * len(prefixes) bags.
    """
    n, groups = len(offsets) - 1, len(prefixes)
    tokens = torch.repeat_interleave(torch.arange(n, device=latents.device), offsets.diff())
    order = (tokens * prefixes[-1] + latents).argsort()
    latents = latents[order]
    boundaries = torch.tensor(prefixes[:-1], device=latents.device)
    bags = tokens * groups + torch.bucketize(latents, boundaries, right=True)
    return latents, F.pad(torch.bincount(bags, minlength=n * groups).cumsum(0), (1, 0))


class _SparseSums(torch.autograd.Function):
    """(x, W_enc, b_enc, W_dec, b_dec) and a selection -> (sums of decoder rows per bag, values)."""

    @staticmethod
    def forward(ctx, x, W_enc, b_enc, W_dec, b_dec, pre_ns, latents, offsets):
        n_bags = len(offsets) - 1
        bags = torch.repeat_interleave(torch.arange(n_bags, device=x.device), offsets.diff())
        tokens = bags // (n_bags // len(x))
        values = pre_ns[tokens, latents].to(W_dec.dtype).relu()
        ctx.save_for_backward(x, W_enc, W_dec, b_dec, tokens, bags, latents, offsets, values)
        return bag(latents, offsets, values, W_dec), values

    @staticmethod
    def backward(ctx, grad_sums, grad_values):
        x, W_enc, W_dec, b_dec, tokens, bags, latents, offsets, values = ctx.saved_tensors
        d_sae = len(W_dec)
        # Stable, so that each latent sums its tokens in a fixed order: training is deterministic to the bit.
        order = latents.argsort(stable=True)
        fires = F.pad(torch.bincount(latents, minlength=d_sae).cumsum(0), (1, 0))

        grad_f = bag_weight_gradient(latents, offsets, values, W_dec, grad_sums)
        grad_f = (grad_f + grad_values) * (values > 0)
        grad_W_dec = bag(bags[order], fires, values[order], grad_sums)
        grad_W_enc = bag(tokens[order], fires, grad_f[order], x - b_dec).t()
        grad_b_enc = grad_f.new_zeros(d_sae).index_add_(0, latents, grad_f)
        # Of b_dec only the subtraction from the encoder's input passes here.
        grad_b_dec = -(W_enc @ grad_b_enc)
        return None, grad_W_enc, grad_b_enc, grad_W_dec, grad_b_dec, None, None, None


def sparse_sums(
    z_nd: Float[Tensor, "n d"],
    W_enc: Float[Tensor, "d s"],
    b_enc: Float[Tensor, " s"],
    W_dec: Float[Tensor, "s d"],
    b_dec: Float[Tensor, " d"],
    pre_ns: Float[Tensor, "n s"],
    latents: Int[Tensor, " m"],
    offsets: Int[Tensor, " bags_plus_1"],
) -> tuple[Float[Tensor, "bags d"], Float[Tensor, " m"]]:
    """Decode the selected latents, bag by bag: sum of ReLU(pre) W_dec rows (n_bags, d), and ReLU(pre) (m,).

    Both carry gradients to all four parameters. `pre_ns` is (z - b_dec) W_enc + b_enc,
    computed without a graph; `offsets` may cut each token into several bags
    (`group_by_prefix`), the same number for all.
    """
    return _SparseSums.apply(z_nd, W_enc, b_enc, W_dec, b_dec, pre_ns, latents, offsets)
