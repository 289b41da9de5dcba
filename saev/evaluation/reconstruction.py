"""How well an SAE reconstructs, and how sparsely."""

import numpy as np
import torch
from torch import Tensor

from saev.activations import Tokens
from saev.errors import SaevError
from saev.machine import track
from saev.sae.model import SAE

DENSE_ABOVE = 0.01
"""A latent that fires on a larger share of the tokens is called dense."""


def measure_reconstruction(
    saes: dict[str, SAE],
    tokens: Tokens,
    *,
    images: np.ndarray | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 4096,
) -> dict[str, tuple[dict[str, float], np.ndarray]]:
    """Measure SAEs on the same tokens, all on one pass, with their full dictionaries, in float64.

        NMSE               sum ||x - x_hat||^2 / sum ||x - mean of the split's tokens||^2
        explained variance 1 - NMSE
        L0                 mean number of latents with f > 0
        dead, dense        share of latents that never fire, that fire on more than 1 % of the tokens
        coherence          mean over latents of the largest cosine of their decoder row with another one

    Args:
        saes: by the names that errors call them by.
        images: numbers of the images whose tokens are taken; None: of all.

    Returns:
        For each SAE its metrics, and the density (share of tokens on which it fires) of every latent, (s,).

    Raises:
        SaevError: an SAE was trained on other activations than these, or all of these are the same.
    """
    for name, sae in saes.items():
        sae.check_tokens(tokens, name)
        sae.to(device)
    mean = torch.from_numpy(tokens.normalisation()[0]).to(device)
    sse, sse_mean, n = dict.fromkeys(saes, 0.0), 0.0, 0
    fires = {name: torch.zeros(sae.d_sae, dtype=torch.int64, device=device) for name, sae in saes.items()}
    total = tokens.n_images if images is None else len(images)
    chunks = track(tokens.chunks(images), f"evaluate on {tokens.path}", total, size=lambda c: len(c.images))
    for _, x_btd in chunks:
        x_all = torch.from_numpy(x_btd).reshape(-1, tokens.d).to(device).float()
        n += len(x_all)
        for x_nd in x_all.split(batch_size):
            sse_mean += (x_nd.double() - mean).square().sum().item()
            for name, sae in saes.items():
                codes = sae.codes(x_nd)
                sse[name] += (x_nd - sae.decode(codes)).double().square().sum().item()
                fires[name] += torch.bincount(codes.latents, minlength=sae.d_sae)
    if not sse_mean:
        raise SaevError(f"{tokens.path}: all tokens are the same, so there is nothing to reconstruct")
    found = {}
    for name, sae in saes.items():
        fired = fires[name].cpu().numpy()
        found[name] = (_metrics(sae.cpu(), sse[name] / sse_mean, fired, n), fired / n)
    return found


def _metrics(sae: SAE, nmse: float, fires: np.ndarray, n: int) -> dict[str, float]:
    metrics = {
        "nmse": nmse,
        "explained_variance": 1 - nmse,
        "l0": fires.sum() / n,
        "dead": (fires == 0).mean(),
        "dense": (fires / n > DENSE_ABOVE).mean(),
        "coherence": coherence(sae.W_dec),
        "n_tokens": n,
    }
    return {key: float(value) for key, value in metrics.items()}


def coherence(W_dec: Tensor, block: int = 4096) -> float:
    """Mean over the rows of the largest cosine with another row, (s, d) -> a number; 0 for a single row.

    Near 1 means that the dictionary says many things twice; random rows have about sqrt(2 ln s / d).
    """
    if len(W_dec) == 1:
        return 0.0
    rows = torch.nn.functional.normalize(W_dec.detach(), dim=1)
    total = 0.0
    for first in range(0, len(rows), block):
        cosines = rows[first : first + block] @ rows.T
        cosines.diagonal(first).fill_(-1)  # with itself
        total += cosines.max(1).values.double().sum().item()
    return total / len(rows)
