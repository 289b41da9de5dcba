"""The constants that bring a layer's activations to a common scale."""

from collections.abc import Iterator

import numpy as np
import torch
import zarr

MOST_VECTORS = 2**20
"""Statistics look at chunks, spread evenly over the store, with so many tokens of the most numerous kind, or at
all of a smaller store: also those of the single cls token, for whose million the whole store would be read.
The mean of a million tokens is known to a thousandth of their spread, and reading
ImageNet twice more would take as long as recording it does on a GPU. (The paper takes 2^19.)"""


def statistics(group: zarr.Group, layer: int, positions: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Statistics over the tokens x at `positions` of one layer, accumulated in float64.

    mean = E[x] (d,), scale = E||x - mean||_2 / sqrt(d), the extremes of x, and the median of
    ||x||_2. After x -> (x - mean) / scale a token has E||x||_2 = sqrt(d).

    Two passes over the stored values, not one over the running model: the second needs
    the mean of the first, and a resumed run must give the bytes of an undisturbed one.
    """
    d = group[f"acts/{layer}"].shape[-1]
    total, n, low, high, lengths = np.zeros(d), 0, np.inf, -np.inf, []
    for x_nd, norms in _sample(group, layer, positions):
        total += x_nd.sum(0, dtype=torch.float64).numpy()
        n, low, high = n + len(x_nd), min(low, x_nd.min().item()), max(high, x_nd.max().item())
        lengths.append(norms)
    mean, centred = total / n, 0.0
    for x_nd, _ in _sample(group, layer, positions):
        centred += (x_nd - torch.from_numpy(mean).float()).norm(dim=1).sum(dtype=torch.float64).item()
    median = np.median(np.concatenate(lengths))
    return mean, {"scale": centred / n / d**0.5, "min": low, "max": high, "median_norm": float(median)}


def _sample(
    group: zarr.Group, layer: int, positions: np.ndarray
) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """(vectors (n, d) float32, their norms (n,)) of each chunk that the statistics look at; images not present are left out."""
    acts, norms, present = group[f"acts/{layer}"], group[f"norms/{layer}"], group["labels/present"]
    chunk, d = acts.chunks[0], acts.shape[-1]
    n_chunks = -(-acts.shape[0] // chunk)
    per_image = max(last - first for first, last in group.attrs["spans"].values())
    looked_at = min(n_chunks, max(1, MOST_VECTORS // (chunk * per_image)))
    for c in np.linspace(0, n_chunks - 1, looked_at).round().astype(int):
        here = slice(c * chunk, (c + 1) * chunk)
        keep = present[here]
        if keep.any():
            # In torch: numpy has no fast arithmetic of half precision.
            yield (
                torch.from_numpy(acts[here][keep][:, positions].reshape(-1, d)).float(),
                norms[here][keep][:, positions].ravel(),
            )
