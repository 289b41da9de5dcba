"""The constants that bring a layer's activations to a common scale."""

import numpy as np
import zarr


def normalisation(acts: zarr.Array, n_special: int, chunk: int) -> tuple[np.ndarray, dict[str, float]]:
    """Statistics over all patch tokens x of one layer, accumulated in float64.

    mean = E[x] (d,), scale = E||x - mean||_2 / sqrt(d), and the extremes of x. After
    x -> (x - mean) / scale a token has E||x||_2 = sqrt(d).

    Two passes over the stored values, not one over the running model: the second needs
    the mean of the first, and a resumed run must give the bytes of an undisturbed one.
    """
    n_images, _, d = acts.shape
    total, n, low, high = np.zeros(d), 0, np.inf, -np.inf
    for start in range(0, n_images, chunk):
        x = acts[start : start + chunk][:, n_special:].reshape(-1, d)
        total += x.sum(0, dtype=np.float64)
        n, low, high = n + len(x), min(low, x.min()), max(high, x.max())
    mean = total / n
    norms = 0.0
    for start in range(0, n_images, chunk):
        x = acts[start : start + chunk][:, n_special:].reshape(-1, d)
        norms += np.linalg.norm(x - mean.astype(np.float32), axis=1).sum(dtype=np.float64)
    return mean, {"scale": norms / n / d**0.5, "min": float(low), "max": float(high)}
