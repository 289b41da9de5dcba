"""How well an SAE reconstructs, and how sparsely."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saev.activations import Tokens
from saev.errors import SaevError
from saev.evaluation.cosines import BLOCK, best_cosines
from saev.machine import track
from saev.sae.model import SAE
from saev.statistics import Estimate, estimate

DENSE_ABOVE = 0.01
"""A latent that fires on a larger share of the tokens is called dense."""


class Reconstruction(NamedTuple):
    """What was measured of an SAE."""

    metrics: dict[str, float | None]
    density: np.ndarray
    """(s,) share of tokens on which each latent fires."""
    sums_im: np.ndarray
    """(images, 3) squared error of each image's tokens: of the reconstruction, of the mean of all tokens
    measured, and of the mean that the SAE subtracts, that of its training."""


@torch.no_grad()
def measure_reconstruction(
    saes: dict[str, SAE],
    tokens: Tokens,
    *,
    images: np.ndarray | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 4096,
) -> dict[str, Reconstruction]:
    """Measure SAEs on the same tokens, all on one pass, with their full dictionaries, in float64.

        nmse               sum ||x - x_hat||^2 / sum ||x - mean of the split's tokens||^2
        low, high          its 95 % interval over images
        nmse_train_mean    the same with the mean of the SAE's training tokens, which knows nothing of these
        explained variance 1 - NMSE
        l0                 mean number of latents with f > 0
        dead, dense        share of latents that never fire, that fire on more than 1 % of the tokens
        coherence          mean over latents of the largest cosine of their decoder row with another one

    Args:
        saes: by the names that errors call them by.
        images: numbers of the images whose tokens are taken; None: of all.

    Raises:
        SaevError: an SAE was trained on other activations than these, or all of these are the same.
    """
    for name, sae in saes.items():
        sae.check_tokens(tokens, name)
        sae.to(device)
    mean = torch.from_numpy(tokens.normalisation()[0]).to(device)
    fires = {name: torch.zeros(sae.d_sae, dtype=torch.int64, device=device) for name, sae in saes.items()}
    sums = {name: [] for name in saes}
    total = tokens.n_images if images is None else len(images)
    chunks = track(tokens.chunks(images), f"evaluate on {tokens.path}", total, size=lambda c: len(c.images))
    for _, x_btd in chunks:
        x_all = torch.from_numpy(x_btd).reshape(-1, tokens.d).to(device).float()
        about = _per_image(x_all.double() - mean, len(x_btd))
        for name, sae in saes.items():
            errors = []
            for x_nd in x_all.split(batch_size):
                codes = sae.codes(x_nd)
                errors.append(x_nd - sae.decode(codes))
                fires[name] += torch.bincount(codes.latents, minlength=sae.d_sae)
            error_nd = torch.cat(errors)
            of_image = [_per_image(error_nd, len(x_btd)), about, _per_image(x_all - sae.mean, len(x_btd))]
            sums[name].append(torch.stack(of_image, 1).cpu().numpy())
    found = {}
    for name, sae in saes.items():
        sums_im, fired = np.concatenate(sums[name]), fires[name].cpu().numpy()
        if not sums_im[:, 1].any():
            raise SaevError(f"{tokens.path}: all tokens are the same, so there is nothing to reconstruct")
        n = len(sums_im) * tokens.per_image
        found[name] = Reconstruction(_metrics(sae.cpu(), sums_im, fired, n), fired / n, sums_im)
    return found


def _per_image(error_nd: Tensor, n_images: int) -> Tensor:
    """(images,) float64: the squared error of each."""
    return error_nd.double().square().reshape(n_images, -1).sum(1)


def nmse(totals_rm: np.ndarray) -> np.ndarray:
    """Of (r, 2 or more) totals: the first over the second."""
    return totals_rm[:, 0] / totals_rm[:, 1]


def nmse_difference(one: Reconstruction, other: Reconstruction) -> Estimate:
    """NMSE of one minus that of the other, on the same images, with its interval over them."""
    sums_im = np.concatenate([one.sums_im[:, :2], other.sums_im[:, :2]], 1)
    return estimate(sums_im, lambda totals_rm: nmse(totals_rm[:, :2]) - nmse(totals_rm[:, 2:]))


def _metrics(sae: SAE, sums_im: np.ndarray, fires: np.ndarray, n: int) -> dict[str, float | None]:
    error = estimate(sums_im[:, :2], nmse, within=(0, np.inf))
    return {
        "nmse": error.value,
        "nmse_train_mean": float(sums_im[:, 0].sum() / sums_im[:, 2].sum()),
        "explained_variance": None if error.value is None else 1 - error.value,
        "l0": float(fires.sum() / n),
        "dead": float((fires == 0).mean()),
        "dense": float((fires / n > DENSE_ABOVE).mean()),
        "coherence": coherence(sae.W_dec),
        "n_tokens": float(n),
        "low": error.low,
        "high": error.high,
    }


def coherence(W_dec: Tensor, block: int = BLOCK) -> float:
    """Mean over the rows of the largest cosine with another row, (s, d) -> a number; 0 for a single row.

    Near 1 means that the dictionary says many things twice; random rows have about sqrt(2 ln s / d).
    """
    return best_cosines(W_dec.detach(), block=block).double().mean().item() if len(W_dec) > 1 else 0.0
