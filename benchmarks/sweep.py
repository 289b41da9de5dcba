"""Eight SAEs on one stream against eight runs of one, from the start of the process to the files.

python -m benchmarks.sweep      prints one JSON line; takes some minutes on 2 cores

Every process imports, opens a store of 600 images (256 patches of width 384), trains 600 steps of 2,048
tokens, measures on 100 images and saves; the store lies in the page cache for both. One run of each. TopK
SAEs of 2,048 latents that differ in k and learning rate, as in a sweep.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MEMBERS = [{"k": k, "lr": lr} for k in (8, 16, 32, 64) for lr in (1e-3, 3e-3)]
STEPS = 600


def run(folder: Path, members: list[int]) -> None:
    """What one process does."""
    from benchmarks.synthetic import synthetic_store
    from saev.evaluation import measure_reconstruction
    from saev.machine import Machine
    from saev.machine.allocator import keep_freed_memory
    from saev.sae import TopK, save_sae
    from saev.training import Training, fit

    keep_freed_memory()
    store = synthetic_store(folder / "store", n_images=600, n_patches=256, d=384)
    architectures = {f"sae{i}": TopK(d_sae=2048, **MEMBERS[i]) for i in members}
    with tempfile.TemporaryDirectory() as working:
        fitted = fit(
            architectures,
            store.tokens(0),
            options=Training(steps=STEPS),
            seed=0,
            machine=Machine(),
            working=Path(working),
        )
    saes = {name: sae for name, (sae, _) in fitted.items()}
    for name, (metrics, *_) in measure_reconstruction(saes, store.tokens(0), images=np.arange(100)).items():
        save_sae(saes[name], folder / name, metrics=metrics)


def seconds(folder: Path, runs: list[list[int]]) -> float:
    start = time.perf_counter()
    for members in runs:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.sweep", str(folder), *map(str, members)], check=True
        )
    return time.perf_counter() - start


def main() -> None:
    everyone = list(range(len(MEMBERS)))
    with tempfile.TemporaryDirectory() as folder:
        seconds(Path(folder), [[0]])  # writes the store
        alone, together = seconds(Path(folder), [[i] for i in everyone]), seconds(Path(folder), [everyone])
    result = {
        "eight_runs_s": round(alone, 1),
        "one_stream_s": round(together, 1),
        "faster": round(alone / together, 2),
    }
    print(json.dumps({"benchmark": "sweep", **result}))


if __name__ == "__main__":
    if sys.argv[1:]:
        run(Path(sys.argv[1]), [int(i) for i in sys.argv[2:]])
    else:
        main()
