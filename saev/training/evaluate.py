"""How well an SAE reconstructs, and how sparsely."""

import numpy as np
import torch

from saev.activations.store import Store
from saev.progress import track
from saev.sae.model import SAE

DENSE_ABOVE = 0.01
"""A latent that fires on a larger share of the tokens is called dense."""


def evaluate(sae: SAE, store: Store, layer: int, *, batch_size: int = 4096, max_images: int | None = None) -> tuple[dict, np.ndarray]:
    """Measure `sae` on the patch tokens of `store`, with its full dictionary, in float64.

        NMSE               sum ||x - x_hat||^2 / sum ||x - mean of this store||^2
        explained variance 1 - NMSE
        L0                 mean number of latents with f > 0
        dead, dense        share of latents that never fire, that fire on more than 1 % of the tokens

    Returns:
        The metrics, and the density (share of tokens on which it fires) of every latent, (s,).
    """
    sae.check_width(store.d, str(store.path))
    mean, _ = store.normalisation(layer)
    sse = sse_mean = 0.0
    fires = np.zeros(sae.d_sae, np.int64)
    n = 0
    n_images = min(store.n_images, max_images or store.n_images)
    for _, acts in track(store.ordered(layer, n_images=n_images), "evaluate", n_images, size=store.chunk):
        x = torch.from_numpy(acts).reshape(-1, store.d).float()
        n += len(x)
        for x_nd in x.split(batch_size):
            codes = sae.codes(x_nd)
            sse += (x_nd - sae.decode(codes)).double().square().sum().item()
            sse_mean += (x_nd.double() - torch.from_numpy(mean)).square().sum().item()
            fires += torch.bincount(codes.latents, minlength=sae.d_sae).numpy()
    density = fires / n
    metrics = {
        "nmse": sse / sse_mean,
        "explained_variance": 1 - sse / sse_mean,
        "l0": fires.sum() / n,
        "dead": (fires == 0).mean(),
        "dense": (density > DENSE_ABOVE).mean(),
        "n_tokens": n,
    }
    return {key: float(value) for key, value in metrics.items()}, density
