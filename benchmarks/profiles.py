"""Profiles of the latents of a large dictionary: seconds, and memory, which must not grow with the tokens.

python -m benchmarks.profiles      prints one JSON line; three minutes on 2 cores

Codes are random, 32 of each token: what a profile costs depends on their number alone.
"""

import json
import resource
import time

import numpy as np

from benchmarks.train_step import where
from saev.features import Profiler
from saev.features.encoding import Block

LATENTS, ACTIVE, PATCHES, CHUNK = 24_576, 32, 256, 32
SIZES = (250_000, 1_000_000)


def drawn(rng: np.random.Generator, first: int) -> Block:
    """The codes of a chunk of images."""
    n = CHUNK * PATCHES * ACTIVE
    values, latents = rng.exponential(size=n).astype(np.float16), rng.integers(0, LATENTS, n)
    counts_bt = np.full((CHUNK, PATCHES), ACTIVE)
    return Block(first + np.arange(CHUNK), values, latents.astype(np.uint16), counts_bt)


def main() -> None:
    rows, found = np.random.default_rng(2).standard_normal((LATENTS, 384), np.float32), {}
    for tokens in SIZES:
        rng, n_images = np.random.default_rng(0), tokens // (PATCHES * CHUNK) * CHUNK
        made, seconds = Profiler(n_images, PATCHES, LATENTS), 0.0
        for first in range(0, n_images, CHUNK):
            block = drawn(rng, first)
            began = time.perf_counter()
            made.update(block)
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        made.compute(rows)
        found[f"{tokens:,} tokens"] = {
            "update_s": round(seconds, 1),
            "compute_s": round(time.perf_counter() - began, 1),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
    print(json.dumps({"benchmark": "profiles", **where("cpu"), "latents": LATENTS, "results": found}))


if __name__ == "__main__":
    main()
