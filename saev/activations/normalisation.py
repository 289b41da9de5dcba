"""The constants that bring a layer's activations to a common scale."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import zarr

from saev.activations.schema import array_of, attributes, rows

MOST_VECTORS = 2**20
"""Statistics look at chunks, spread evenly over the store, with so many tokens of the most numerous kind, or
at all of a smaller store. So do those of the single cls token: its million would be the whole store. The mean
of a million tokens is known to a thousandth of their spread, and reading ImageNet twice more would take as
long as recording it does on a GPU. (The paper takes 2^19.)"""


def statistics(group: zarr.Group, layer: int, positions: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Statistics, in float64, of the tokens x at `positions` of the token axis after block `layer`.

        mean        E[x], (d,)
        scale       E||x - mean||_2 / sqrt(d): after x -> (x - mean) / scale a token has E||x||_2 = sqrt(d)
        min, max    the extremes of x
        median_norm the median of ||x||_2

    Two passes over the stored values, not one over the running model: the second needs the mean of the first,
    and a resumed run must give the bytes of an undisturbed one.
    """
    d = array_of(group, f"acts/{layer}").shape[-1]
    total, n, low, high, norms = np.zeros(d), 0, np.inf, -np.inf, []
    for x_nd, norms_n in _sample(group, layer, positions):
        total += x_nd.sum(0, dtype=torch.float64).numpy()
        n, low, high = n + len(x_nd), min(low, x_nd.min().item()), max(high, x_nd.max().item())
        norms.append(norms_n)
    mean, distance = total / n, 0.0
    for x_nd, _ in _sample(group, layer, positions):
        distance += (x_nd - torch.from_numpy(mean).float()).norm(dim=1).sum(dtype=torch.float64).item()
    median = float(np.median(np.concatenate(norms)))
    return mean, {"scale": distance / n / d**0.5, "min": low, "max": high, "median_norm": median}


def _sample(
    group: zarr.Group, layer: int, positions: np.ndarray
) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """(vectors (n, d) float32, their norms (n,)) of each chunk looked at; of images that are present."""
    keys = f"acts/{layer}", f"norms/{layer}", "labels/present"
    acts, norms, present = (array_of(group, key) for key in keys)
    chunk, d = acts.chunks[0], acts.shape[-1]
    n_chunks = math.ceil(acts.shape[0] / chunk)
    per_image = max(last - first for first, last in attributes(group)["spans"].values())
    n_sampled = min(n_chunks, max(1, MOST_VECTORS // (chunk * per_image)))
    for c in np.linspace(0, n_chunks - 1, n_sampled).round().astype(int):
        images = slice(c * chunk, (c + 1) * chunk)
        keep = rows(present, images)
        if keep.any():
            x_nd = rows(acts, images)[keep][:, positions].reshape(-1, d)
            # In torch: numpy has no fast arithmetic of half precision.
            yield torch.from_numpy(x_nd).float(), rows(norms, images)[keep][:, positions].ravel()
