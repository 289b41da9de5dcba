"""The encoder product in low precision, with a bound on what it can be wrong by.

Let pre = z w_s + b_s be a score, and p its rough value.

**bf16.** With z~, w~, b~ rounded to bf16, sums in float32, and the result rounded (u = 2^-8),

    |pre - p| <= ||z - z~|| max||w|| + ||z~|| (max||w - w~|| + d 2^-24 max||w||) + max|b - b~| + u |p|,

by Cauchy and Schwarz: the worst that can be.

**int8.** With 8 bits the worst case is ten times the errors that occur, and would prove little. Instead the
inputs are rounded with a subtractive dither (Roberts 1962; Schuchman 1964): u, v are drawn uniformly from
[-1/2, 1/2] for each input, once and independently of the data, and

    p = a c (q - u)(Q_s - v),    q = round(z / a + u),  Q_s = round(w_s / c + v)

The errors z - a (q - u) and w_s - c (Q_s - v) are then, whatever z and w_s, uniform on [-a/2, a/2] and
[-c/2, c/2], and independent from input to input. A uniform variable is sub-Gaussian with its own variance, so

    P(pre - p > DEVIATIONS sigma) <= exp(-DEVIATIONS^2 / 2),
    sigma^2 = a^2 / 12 max||c (Q - v)||^2 + c^2 / 12 ||z||^2.

Before, z and W are turned alike, every 32 inputs among themselves (by a Hadamard matrix with random signs).
That changes no product, and spreads a single large input or weight, which would make a or c large for all
others, over 32. (On the embedded study sigma is half of what it is without.)

At 8 deviations that is 1.3e-14 for a pair that is wrongly left out, and a token has no more than k of those:
less than one in 10^9 per batch of 2,048 tokens at k = 32. (Of the products in p, q Q_s is the integer one;
u v and q v are the same for all latents; u Q_s is a constant of the latent. This constant, and the bias, are
more inputs, of constant values.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from saev.checks import check_choice
from saev.errors import SaevError
from saev.machine.machine import use_bf16

Rough = Literal["bf16", "int8"]

CHUNK = 256
"""Tokens at once: their rough scores stay in the cache."""
DEVIATIONS = 8
BIAS_INPUTS = 30
"""Inputs of 1 that the bias is spread over, so that its rounding is as fine as that of the rest."""
LEVELS = 126.5
"""The largest |z / a|; with the dither it still rounds to at most 127."""
ROWS = 1024
"""Latents that are rounded at once, in the cache."""
TURNED = 32
"""Inputs that are turned together."""


class Bounds(NamedTuple):
    """What is known of the scores of n tokens from the rough ones p:

    |pre - (p unit + shift)| <= error + relative |p unit|.
    """

    unit: Tensor | float
    shift: Tensor | float
    error: Tensor
    relative: float

    def highest(self, p: Tensor) -> Tensor:
        """The largest that a score with this rough value, or a lower one, may be."""
        p = p * self.unit
        return p + self.shift + self.error + self.relative * p.abs()

    def lowest_above_0(self) -> Tensor:
        """A rough value up to which it is certain that the score is at most 0."""
        p = -(self.shift + self.error)
        return (p / torch.where(p < 0, 1 - self.relative, 1 + self.relative) / self.unit).floor()


class Bf16:
    """p in bf16.

    Args:
        z_nd: (n, d) inputs. W_sd: (s, d) and bias_s: (s,) of the latents; all float32.

    Attributes:
        bounds: of every token.
    """

    def __init__(self, z_nd: Tensor, W_sd: Tensor, bias_s: Tensor):
        self.z, self.W, self.bias = z_nd.bfloat16(), W_sd.bfloat16().t(), bias_s.bfloat16()
        longest = _lengths(W_sd).amax()
        of_W = _lengths(W_sd - self.W.t().float()).amax() + W_sd.shape[1] * 2**-24 * longest
        rounded_nd, of_bias = self.z.float(), (bias_s - self.bias.float()).abs().amax()
        error = _lengths(z_nd - rounded_nd) * longest + _lengths(rounded_nd) * of_W + of_bias
        self.bounds = Bounds(1.0, 0.0, error, 2**-8)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Some tokens after the other, and their (c, s) rough values."""
        for rows in _chunks(len(self.z)):
            with _sums_in_float32():
                rough_cs = torch.addmm(self.bias, self.z[rows], self.W)
            yield rows, rough_cs


class Int8:
    """p in units of a c, as int32; otherwise as `Bf16`. A chunk is valid until the next."""

    def __init__(self, z_nd: Tensor, W_sd: Tensor, bias_s: Tensor):
        y_nd = pad(_turned(z_nd), (0, BIAS_INPUTS), value=1.0)
        u, v = _dither(y_nd.shape[1])
        self.Q, c, longest = _rounded_latents(_turned(W_sd), bias_s, u, v)
        a = y_nd.abs().amax(1) / LEVELS
        q = (y_nd / a[:, None] + u).round_()
        unit, lengths = a * c, _lengths(y_nd)
        sigma = torch.hypot(a * longest, c * lengths) / 12**0.5
        on_the_way = unit + 2**-20 * lengths * longest  # of the constants, and of float32
        self.bounds = Bounds(unit, unit * ((u - q) @ v), DEVIATIONS * sigma + on_the_way, 0.0)
        constants = torch.tensor([*[127] * (len(self.Q) - len(u) - 1), 1], dtype=torch.int8)
        self.q = torch.cat([q.to(torch.int8), constants.expand(len(q), -1)], 1)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Some tokens after the other, and their (c, s) rough values."""
        out = torch.empty(min(CHUNK, len(self.q)), self.Q.shape[1], dtype=torch.int32)
        for rows in _chunks(len(self.q)):
            # torch has no public product of integers.
            multiply = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
            yield rows, multiply(self.q[rows], self.Q, out=out[: rows.stop - rows.start])


PRODUCTS = {"bf16": Bf16, "int8": Int8}
PRECISIONS = ("auto", "fp32", *PRODUCTS)


def rough_product(precision: str, device: torch.device | str) -> Rough | None:
    """What `precision` means for the rough product here; None: float32, with nothing to certify.

    `auto` is int8 on a CPU that multiplies it natively (2,048 x 384 by 384 x 12,288 on two cores: 20 ms; in
    float32 74), bf16 on such a GPU, else float32.

    Raises:
        SaevError: an unknown precision, or int8 on a GPU.
    """
    check_choice("precision", precision, PRECISIONS)
    on_cpu = torch.device(device).type == "cpu"
    if precision == "auto":
        if on_cpu:
            return "int8" if torch.cpu._is_vnni_supported() else None
        return "bf16" if use_bf16("auto", device) else None
    if precision == "int8" and not on_cpu:
        raise SaevError(f"precision int8 is for the CPU, not for {device}; take auto, fp32 or bf16")
    return precision if precision in ("bf16", "int8") else None


def _dither(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """u and v for n inputs."""
    u, v = torch.rand(2, n, generator=torch.Generator().manual_seed(seed)) - 0.5
    return u, v


def _turned(rows: Tensor) -> Tensor:
    """The rows, of zeros at the end to make their length fit, by blocks in another basis."""
    turn = torch.ones(1, 1)
    while len(turn) < TURNED:
        turn = torch.cat([torch.cat([turn, turn], 1), torch.cat([turn, -turn], 1)])
    signs = torch.rand(TURNED, 1, generator=torch.Generator().manual_seed(1)) < 0.5
    turn = torch.where(signs, turn, -turn) / TURNED**0.5
    rows = pad(rows, (0, -rows.shape[1] % TURNED))
    return (rows.reshape(-1, TURNED) @ turn).view_as(rows)


def _rounded_latents(W_sd: Tensor, bias_s: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(inputs, s) int8 Q of the latents, the step c, and the largest that ||c (Q - v)|| can be.

    The inputs are those of W, those of the bias, and those of -u Q_s: of value 127, as many as the largest
    could need, and one of value 1, to which half a unit is lost.
    """
    (s, d), (low, high) = W_sd.shape, W_sd.aminmax()
    of_bias = bias_s[:, None] / BIAS_INPUTS
    c = torch.stack([high, -low, of_bias.abs().amax()]).amax().clamp(min=1e-30) / LEVELS
    longest = (_lengths(W_sd).square() + of_bias[:, 0] * bias_s).amax().sqrt() + c / 2 * len(u) ** 0.5
    m = 1 + len(u) // 254
    Q = torch.empty(s, len(u) + m + 1, dtype=torch.int8)
    per_c, parts = (1 / c).item(), torch.arange(m)
    for first in range(0, s, ROWS):
        rows = slice(first, first + ROWS)
        of_W = torch.add(v[:d], W_sd[rows], alpha=per_c).round_()
        bias = torch.add(v[d:], of_bias[rows], alpha=per_c).round_()
        constant = -(of_W @ u[:d] + bias @ u[d:])
        whole = (constant / 127).round()
        Q[rows, :d], Q[rows, d : len(u)] = of_W, bias
        Q[rows, len(u) : -1] = ((whole[:, None] + parts) / m).floor()  # these add up to `whole`
        Q[rows, -1] = (constant - 127 * whole).round()
    return Q.t(), c, longest


def _chunks(n: int) -> list[slice]:
    return [slice(first, min(first + CHUNK, n)) for first in range(0, n, CHUNK)]


@contextmanager
def _sums_in_float32() -> Iterator[None]:
    """On CUDA parts of a product in bf16 are else added up in bf16."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        matmul.allow_bf16_reduced_precision_reduction = before


def _lengths(rows: Tensor) -> Tensor:
    """Of the rows, or more: squares below 10^-38 are lost."""
    return torch.linalg.vector_norm(rows, dim=1).clamp(min=1e-16)
