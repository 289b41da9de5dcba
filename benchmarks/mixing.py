"""How well the stream mixes: the entropy of a batch against a perfect shuffle's.

python -m benchmarks.mixing [DIRECTORY]      prints one JSON line; reads no activations

For windows of different size, over the batches of one epoch: the entropy, in bits, of which
image the vectors of a batch come from, as a share of that of batches drawn from a random
permutation of all vectors; and how many different images a batch has, likewise. The store is
that of benchmarks/reading.py: 10,880 images of 256 patches in chunks of 32.
"""

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.reading import N_IMAGES, N_PATCHES, D
from benchmarks.synthetic import synthetic_store
from saev.activations import ActivationStream


def entropy(images: np.ndarray) -> float:
    share = np.unique(images, return_counts=True)[1] / len(images)
    return float(-(share * np.log2(share)).sum())


def measure(batches: list[np.ndarray]) -> tuple[float, float]:
    """Mean entropy of the image of a batch's vectors, and mean number of different images."""
    return float(np.mean([entropy(images) for images in batches])), float(
        np.mean([len(np.unique(images)) for images in batches])
    )


def main(directory: str = ".scratch/benchmarks") -> None:
    store = synthetic_store(Path(directory) / "store", n_images=N_IMAGES, n_patches=N_PATCHES, d=D)
    out = {}
    for batch_size in (2048, 16384):
        n_batches = N_IMAGES * N_PATCHES // batch_size
        everything = (
            np.random.default_rng(0).permutation(N_IMAGES * N_PATCHES)[: n_batches * batch_size] // N_PATCHES
        )
        perfect = measure(list(everything.reshape(n_batches, -1)))
        for window in (2, 8, 32, 128, 680):
            stream = ActivationStream(store.tokens(0), batch_size=batch_size, window=window)
            found = measure([images for images, _ in islice(stream.places(), n_batches)])
            key = f"batch {batch_size}, window {window} ({window * 32} images in memory)"
            out[key] = {"entropy": round(found[0] / perfect[0], 3), "images": round(found[1] / perfect[1], 3)}
    print(json.dumps({"benchmark": "mixing", "of_a_perfect_shuffle": out}))


if __name__ == "__main__":
    main(*sys.argv[1:])
