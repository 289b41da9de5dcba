"""What the statistics of many latents cost, on random codes: it depends on the number of codes alone.

python -m benchmarks.probing      prints one JSON line; three minutes on 2 cores
"""

import json
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse

from benchmarks.train_step import where
from saev.activations import Origin
from saev.features import Codes
from saev.probing import Concepts, Splits, best_of_many, match_concepts
from saev.probing.f1 import count

ORIGIN = Origin("none", "none", "none", 0, ("patch",), "none")
PATCHES, CLASSES = 256, 16


def drawn(tokens: int, latents: int, active: int, seed: int) -> tuple[Codes, Concepts]:
    """Codes of so many tokens, and the class of each."""
    rng, images = np.random.default_rng(seed), tokens // PATCHES
    n = images * PATCHES
    csr = scipy.sparse.csr_array(
        (
            rng.exponential(size=n * active).astype(np.float32),
            rng.integers(0, latents, n * active).astype(np.int32),
            np.arange(0, n * active + 1, active),
        ),
        shape=(n, latents),
    )
    image, labels = np.repeat(np.arange(images), PATCHES), rng.integers(0, CLASSES, n)
    truth = scipy.sparse.csr_array((np.ones(n, np.int8), labels, np.arange(n + 1)), shape=(n, CLASSES))
    names = tuple(map(str, range(CLASSES)))
    return Codes(csr, images, ORIGIN, "none"), Concepts(names, truth, np.ones(n, bool), image, image)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return round(time.perf_counter() - began, 1)


def main() -> None:
    codes, asked = drawn(300_000, 6144, 32, 0)
    splits = Splits(codes, codes, asked, asked)
    found = {
        "300k tokens x 6144 latents x 16 concepts": {
            "f1_s": timed(lambda: count(codes, asked)),
            "match_1000_permutations_s": timed(lambda: match_concepts(splits, ())),
            "max_t_1000_permutations_s": timed(lambda: best_of_many(codes, asked)),
        }
    }
    print(json.dumps({"benchmark": "probing", **where("cpu"), "results": found}))


if __name__ == "__main__":
    main()
