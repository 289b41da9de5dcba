"""Dictionaries to compare SAEs with, fitted to a sample instead of trained, and then used like any SAE."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saev.checks import at_least, between
from saev.errors import SaevError
from saev.sae.kernels.scores import Scores
from saev.sae.kernels.selection import select_topk
from saev.sae.kernels.sparse import Codes, Pairs, offsets_of
from saev.sae.model import SAE, Architecture


@dataclass(frozen=True, kw_only=True)
class RandomDirections(Architecture):
    """Random unit rows, encoder = decoder's transpose, f = ReLU(top_k(pre)): a TopK SAE as it starts."""

    k: Annotated[int, between(1, "d_sae")] = 32
    """Active latents per token."""

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        return select_topk(scores, self.k)


@dataclass(frozen=True, kw_only=True)
class _Largest(Architecture):
    """A dictionary of which all latents can be active, or the largest."""

    k: Annotated[int, between(1, "d_sae")] | None = None
    """Active latents per token, as many as those of the SAE that it is compared with; None: all above 0."""

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        return super().select(sae, scores) if self.k is None else select_topk(scores, self.k)


@dataclass(frozen=True, kw_only=True)
class Neurons(_Largest):
    """The backbone's own axes: f = ReLU(z_1), ReLU(-z_1), ReLU(z_2), ...; d_sae = 2 d, and without k
    x_hat = x."""

    def initialise(self, sae: SAE, z_md: Tensor, seed: int) -> None:
        _both_signs(sae, torch.eye(sae.d))


@dataclass(frozen=True, kw_only=True)
class _Fitted(Architecture):
    """A baseline that a sample determines."""

    n_sample: Annotated[int, at_least(1)] = 2**18
    """Activations that it is fitted to."""

    @property
    def sample_size(self) -> int:
        return self.n_sample


@dataclass(frozen=True, kw_only=True)
class PCA(_Fitted, _Largest):
    """The first d_sae / 2 principal components v_i: f = ReLU(z v_1), ReLU(-z v_1), ReLU(z v_2), ..."""

    def initialise(self, sae: SAE, z_md: Tensor, seed: int) -> None:
        z_md = z_md.double()
        centred = z_md - z_md.mean(0)
        directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.T.flip(0)
        _both_signs(sae, directions[: sae.d_sae // 2].float())


@dataclass(frozen=True, kw_only=True)
class KMeans(_Fitted):
    """d_sae centroids c_s, fitted with scikit-learn's MiniBatchKMeans.

    k = 1: the nearest alone, f_s = ||c_s||, so that x_hat is the centroid. It maximises
    pre_s = <z, c_s> - ||c_s||^2 / 2.
    k > 1: their directions u_s = c_s / ||c_s|| as a TopK dictionary, f = ReLU(top_k(<z, u_s>)) / k, so that
    x_hat is the mean of the k projections: the centroids nearest to a token are nearly the same direction.
    """

    k: Annotated[int, between(1, "d_sae")] = 1
    """Active latents per token."""

    n_sample: Annotated[int, at_least("d_sae")] = 2**18
    """Activations that it is fitted to."""

    def initialise(self, sae: SAE, z_md: Tensor, seed: int) -> None:
        from sklearn.cluster import MiniBatchKMeans

        kmeans = MiniBatchKMeans(self.d_sae, init=_far_apart, batch_size=4096, n_init=1, random_state=seed)
        kmeans.fit(z_md.numpy())
        centroids = torch.from_numpy(kmeans.cluster_centers_).float()
        sae.point(F.normalize(centroids, dim=1))
        if self.k == 1:
            with torch.no_grad():
                sae.W_enc_sd.copy_(centroids)
                sae.b_enc.copy_(-centroids.square().sum(1) / 2)

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        return select_topk(scores, self.k)

    def values(self, sae: SAE, pre: Tensor, latents: Tensor | slice) -> Tensor:
        if self.k > 1:
            return super().values(sae, pre, latents) / self.k
        return torch.linalg.vector_norm(sae.W_enc, dim=0)[latents]


def _far_apart(z_md: np.ndarray, n: int, random_state: np.random.RandomState) -> np.ndarray:
    """(n, d) of the activations, by scikit-learn's k-means++ (Arthur & Vassilvitskii 2007), in float64 on one
    thread.

    By itself MiniBatchKMeans gives it float32, which is converted whole for each centroid, and all threads,
    which in products of nine rows wait for each other. (256 of 6,000 activations of width 384, on a busy
    machine: 1.8 s of CPU instead of 18.)
    """
    from sklearn.cluster import kmeans_plusplus
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return kmeans_plusplus(z_md.astype(np.float64), n, random_state=random_state)[0]


@dataclass(frozen=True, kw_only=True)
class SemiNMF(_Fitted):
    """z ~ f W with f >= 0 and W of any sign (Ding, Li & Jordan 2010); f is not a formula but solves

        f = argmin_{f >= 0} ||z - f W||^2

    found by the accelerated projected gradient method (FISTA, Beck & Teboulle 2009, restarted for a token
    when its momentum points uphill, O'Donoghue & Candes 2015) from pre = z W^T and G = W W^T alone:

        f <- ReLU(y - (y G - pre) / L),  L the largest eigenvalue of G,  y = f + momentum.

    A fixed number of iterations, so that the codes of a token do not depend on its batch. Fitted by turns: a
    few iterations for the sample's codes, then the least-squares W for them, its rows brought to unit norm.
    """

    n_sample: Annotated[int, at_least("d_sae")] = 2**15
    """Activations that it is fitted to."""
    rounds: Annotated[int, between(1, 10**6)] = 50
    """Turns of the fit."""
    iterations: Annotated[int, between(1, 10**6)] = 200
    """Of FISTA, for the codes; each turn of the fit takes a tenth of them."""

    def initialise(self, sae: SAE, z_md: Tensor, seed: int) -> None:
        W = F.normalize(z_md[: self.d_sae], dim=1)
        f_ms = z_md.new_zeros(len(z_md), self.d_sae)
        for _ in range(self.rounds):
            f_ms = _fista(z_md @ W.T, W, f_ms, -(-self.iterations // 10))
            gram = f_ms.T @ f_ms
            # Keeps the system solvable when no token uses a latent; its row is then 0, and stays as it was.
            gram += 1e-6 * gram.diagonal().mean() * torch.eye(len(W))
            rows = torch.linalg.solve(gram, f_ms.T @ z_md)
            lengths = rows.norm(dim=1, keepdim=True)
            W, f_ms = torch.where(lengths > 0, rows / lengths, W), f_ms * lengths.T
        sae.point(W)

    def codes(self, sae: SAE, scores: Scores) -> Codes:
        pre_ns = scores.dense()
        f_ns = _fista(pre_ns, sae.W_dec, torch.zeros_like(pre_ns), self.iterations)
        tokens, latents = f_ns.nonzero().unbind(1)
        return Codes(f_ns[tokens, latents], latents, offsets_of(tokens, len(f_ns)))


def _fista(pre_ns: Tensor, W: Tensor, f_ns: Tensor, iterations: int) -> Tensor:
    """`iterations` steps from f towards argmin_{f >= 0} ||z - f W||^2, pre = z W^T."""
    G, L = W @ W.T, torch.linalg.matrix_norm(W, 2).square()
    y, t = f_ns, pre_ns.new_ones(len(pre_ns), 1)
    for _ in range(iterations):
        before, f_ns = f_ns, (y - (y @ G - pre_ns) / L).relu()
        step = f_ns - before
        uphill = ((y - f_ns) * step).sum(1, keepdim=True) > 0
        t_next = torch.where(uphill, 1.0, (1 + (1 + 4 * t * t).sqrt()) / 2)
        y, t = f_ns + torch.where(uphill, 0.0, (t - 1) / t_next) * step, t_next
    return f_ns


def _both_signs(sae: SAE, directions: Tensor) -> None:
    """Rows v_1, -v_1, v_2, -v_2, ..."""
    if sae.d_sae != 2 * len(directions):
        just_that = " (just that for Neurons)" if isinstance(sae.architecture, Neurons) else ""
        raise SaevError(
            f"sae.d_sae must be even and at most twice the width of the activations, {2 * sae.d}{just_that}; "
            f"got {sae.d_sae}"
        )
    sae.point(torch.stack([directions, -directions], 1).flatten(0, 1))
