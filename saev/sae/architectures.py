"""The options of each architecture; the class is the choice of method, the fields are its knobs."""

from dataclasses import dataclass

from saev.options import check_int, check_number


@dataclass(frozen=True, kw_only=True)
class TopK:
    """TopK SAE (Gao et al. 2024, arXiv 2406.04093, section 2.3): f = ReLU(top_k(pre)).

    Loss: mean_n ||z - z_hat||^2 / d on normalised inputs, without a penalty; k sets the sparsity.

    With `prefixes` a Matryoshka SAE (Bussmann et al. 2025, arXiv 2503.17547): each prefix of
    the dictionary must reconstruct on its own, and the loss is the mean over the prefixes and
    the full dictionary. The first latents then stand for whole concepts instead of being
    split among ever finer ones.
    """

    d_sae: int
    """Number of latents."""
    k: int = 32
    """Latents that may be active on one token."""
    prefixes: tuple[int, ...] = ()
    """Widths of the nested dictionaries, ascending, below d_sae."""
    lr: float = 1e-3
    """Peak learning rate of Adam."""

    def __post_init__(self):
        check_int("sae.d_sae", self.d_sae, low=1)
        check_int("sae.k", self.k, low=1, high=self.d_sae)
        object.__setattr__(self, "prefixes", tuple(self.prefixes))
        for below, width in zip((0, *self.prefixes), self.prefixes, strict=False):
            check_int("sae.prefixes", width, low=below + 1, high=self.d_sae - 1)
        check_number("sae.lr", self.lr, low=0, above=True)


@dataclass(frozen=True, kw_only=True)
class ReLU:
    """ReLU SAE with an L1 penalty (Bricken et al. 2023; Conerly et al. 2024): f = ReLU(pre).

    Loss: (1/d) [ mean_n ||x - x_hat||^2 + l1 * mean_n sum_s f_s ||w_s|| ], on inputs
    normalised to E||x||^2 = d, so `l1` has the same meaning for every backbone width.
    """

    d_sae: int
    """Number of latents."""
    l1: float = 1.0
    """Coefficient of the penalty."""
    l1_warmup: float = 0.2
    """Share of the training over which the coefficient rises linearly from 0."""
    lr: float = 1e-3
    """Peak learning rate of Adam."""

    def __post_init__(self):
        check_int("sae.d_sae", self.d_sae, low=1)
        check_number("sae.l1", self.l1, low=0)
        check_number("sae.l1_warmup", self.l1_warmup, low=0, high=1)
        check_number("sae.lr", self.lr, low=0, above=True)


Architecture = TopK | ReLU
ARCHITECTURES = {"TopK": TopK, "ReLU": ReLU}
"""By the name that checkpoints carry."""
