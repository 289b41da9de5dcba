"""What every architecture that is trained by gradients has: options, schedules, and hooks into the loss.

All losses are (1/d) [ mean_n ||z - z_hat||^2 + ... ] on inputs normalised to E||z|| = sqrt(d), so a
coefficient means the same for every backbone width.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saev.checks import above, between, check_int
from saev.errors import SaevError
from saev.sae.kernels.scores import Scores
from saev.sae.kernels.sparse import Pairs
from saev.sae.model import SAE, Architecture

SOFT = 0.8
"""The least cosine of a softly frozen decoder row with where it started, as in arXiv 2602.14111."""
_HELD = {None: (), "decoder": ("W_dec",), "encoder": ("W_enc_sd", "b_enc"), "soft": ()}


class Step(NamedTuple):
    """The pairs (token, latent) of one training step: the m selected ones, or all (n, s) of them."""

    pre: Tensor
    """(m,) or (n, s) pre-activations, with a graph."""
    values: Tensor
    """(m,) or (n, s) codes, with a graph."""
    latents: Tensor | slice
    """(m,) which latent, or slice(None): an index into the parameters of the latents."""
    n: int
    """Tokens."""
    progress: float
    """Share of the training done, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Trained(Architecture):
    """An architecture that gradients train; it adds to `select` and `values` what it does in a training step.

    select_training   the pairs that take part
    penalty           what the loss adds to the reconstruction error, times d
    gate              codes that must reconstruct alone
    observe           what it keeps of the step
    """

    competitive: ClassVar[bool] = False
    """Whether latents compete for places, so that a pair that `select_training` leaves out is inactive; else
    `values` alone decides, and a step may take all pairs where that is quicker."""

    prefixes: tuple[int, ...] = ()
    """Matryoshka (Bussmann et al. 2025, arXiv 2503.17547): widths of nested dictionaries, ascending, below
    d_sae. Each must reconstruct on its own; the loss is the mean over them and the full dictionary. The first
    latents then stand for whole concepts instead of being split among ever finer ones."""
    random_prefixes: int = 0
    """Instead of fixed ones, so many widths drawn anew at every step (`pareto_widths`)."""
    aux_k: Annotated[int, between(0, "d_sae")] = 0
    """AuxK (Gao et al. 2024, arXiv 2406.04093, A.2): so many latents among the dead learn to reconstruct the
    residual e = z - z_hat, which is not changed by it: loss += aux_weight * ||e - e_hat||^2 / ||e||^2."""
    aux_weight: Annotated[float, between(0, 1e6)] = 1 / 32
    """Weight of that loss."""
    aux_share: Annotated[float, above(0, up_to=1)] = 1.0
    """As many of the dead latents as this share of them, if that is less than aux_k: the fewer are left, the
    fewer of them learn from each token. At 1 as in Gao et al., all of them where aux_k is more."""
    aux_tokens: Annotated[float, above(0, up_to=1)] = 0.25
    """Share of a batch's tokens, drawn anew at every step, that stand for all of them in that loss: its
    expectation is the same."""
    dead_after: Annotated[int, between(1, 10**15)] = 1_000_000
    """A latent is dead once it has not fired for so many tokens."""
    data_init: Annotated[float, between(0, 1)] = 0.0
    """Share p of data in the initial directions: decoder rows start as unit(p unit(z) + (1 - p) random) of
    random tokens z. 0: random directions. The encoder always starts as the decoder's transpose, and b_dec at
    the mean."""
    unit_norm: bool = True
    """Keep decoder rows at unit norm; else they are free, and an L1 penalty weights codes by them (Conerly et
    al. 2024)."""
    optimizer: Literal["adam", "muon"] = "adam"
    """adam, or muon (Jordan et al. 2024) for the two matrices and adam for the rest; the learning rate means
    the same."""
    lr: Annotated[float, above(0, up_to=1)] = 1e-3
    """Peak learning rate."""
    frozen: Literal["decoder", "encoder", "soft"] | None = None
    """A floor: what can be had without learning directions (Korznikov et al. 2026, arXiv 2602.14111).
    decoder: W_dec stays as it started; encoder: W_enc and b_enc do; soft: decoder rows keep a cosine of at
    least SOFT with where they started. The rest is trained as ever."""

    def __post_init__(self):
        super().__post_init__()
        for below, width in zip((0, *self.prefixes), self.prefixes, strict=False):
            check_int("sae.prefixes", width, low=below + 1, high=self.d_sae - 1)
        check_int("sae.random_prefixes", self.random_prefixes, low=0, high=self.d_sae // 2)
        if self.frozen == "soft" and not self.unit_norm:
            raise SaevError("sae.unit_norm must be true where sae.frozen is soft, got False")
        if self.prefixes and self.random_prefixes:
            raise SaevError(
                "sae.random_prefixes must be 0 where sae.prefixes are given, "
                f"got {self.random_prefixes} and {self.prefixes}"
            )

    @property
    def sample_size(self) -> int:
        return self.d_sae if self.data_init else 0

    def initialise(self, sae: SAE, z_md: Tensor, seed: int) -> None:
        if self.data_init:
            data = F.normalize(z_md[sae.shard :: sae.shards], dim=1)
            sae.point(F.normalize(torch.lerp(sae.W_dec.detach(), data, self.data_init), dim=1))
        for name in _HELD[self.frozen]:
            getattr(sae, name).requires_grad_(False)
        if self.frozen == "soft":  # not saved: a run that is continued starts from the same directions
            sae.register_buffer("start", sae.W_dec.detach().clone(), persistent=False)

    def widths(self, step: int) -> tuple[int, ...]:
        """The dictionaries that must reconstruct in the step of this number, the full one last."""
        if self.random_prefixes:
            return pareto_widths(self.d_sae, self.random_prefixes, 0, step)
        return (*self.prefixes, self.d_sae)

    def select_training(self, sae: SAE, scores: Scores, progress: float) -> Pairs:
        """The pairs that take part in a step after a share `progress` of the training."""
        return self.select(sae, scores)

    def penalty(self, sae: SAE, step: Step) -> Tensor | float:
        """A scalar that the loss adds, over d, to the reconstruction error."""
        return 0.0

    def gate(self, step: Step) -> Tensor | None:
        """Codes that must reconstruct alone, with the decoder held fixed; None: no such term in the loss."""

    def observe(self, sae: SAE, step: Step) -> None:
        """Update its buffers, such as running means, once a step's loss has been computed."""

    def project(self, sae: SAE) -> None:
        if self.unit_norm and self.frozen != "decoder":
            sae.W_dec.div_(torch.linalg.vector_norm(sae.W_dec, dim=1, keepdim=True))
        if self.frozen == "soft":
            keep_near(sae.W_dec, sae.start)


def trained(sae: SAE) -> Trained:
    """The architecture of an SAE that is being trained.

    Raises:
        TypeError: it is a baseline's.
    """
    if not isinstance(sae.architecture, Trained):
        raise TypeError(f"{type(sae.architecture).__name__} is not trained by gradients")
    return sae.architecture


def keep_near(rows_sd: Tensor, start_sd: Tensor) -> None:
    """Turn unit rows whose cosine with the unit rows `start` is below SOFT back to just that, in their common
    plane."""
    cosine = (rows_sd * start_sd).sum(1, keepdim=True)
    beside = F.normalize(rows_sd - cosine * start_sd, dim=1)
    nearest = SOFT * start_sd + (1 - SOFT**2) ** 0.5 * beside
    rows_sd.copy_(torch.where(cosine < SOFT, nearest, rows_sd))


def rise(progress: float, warmup: float) -> float:
    """A coefficient's share after `progress` of the training: linear from 0 to 1 over `warmup`."""
    return min(progress / warmup, 1.0) if warmup else 1.0


def pareto_widths(d_sae: int, n: int, seed: int, step: int) -> tuple[int, ...]:
    """n different prefix widths below d_sae, ascending, and d_sae itself.

    P(width > w) = w^-0.5, cut at d_sae: small prefixes are trained most, and no width is
    privileged (the random Matryoshka of arXiv 2502.06755's code). A pure function of (seed, step).
    """
    rng = np.random.default_rng([seed, step])
    widths: set[int] = set()
    while len(widths) < n:
        # Inverse of the distribution function on [1, d_sae].
        u = rng.random(n) * (1 - d_sae**-0.5)
        drawn = np.minimum(((1 - u) ** -2.0).astype(int), d_sae - 1)
        widths |= set(drawn[: n - len(widths)].tolist())
    return (*sorted(widths), d_sae)
