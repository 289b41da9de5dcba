"""How fast activations come out of a store, against the limits of this machine, in one run.

python -m benchmarks.reading [DIRECTORY]      prints one JSON line; needs 5 GB (default: .scratch/benchmarks)

All rates are of float32 vectors of width 384, medians of 5. From the page cache: the shuffled
stream; a sequential numpy memmap of the same bytes, read and converted; a DataLoader over that
memmap that picks random rows with 2 workers. From the disk, its pages dropped before: one epoch
of the stream, and the same files read in order and thrown away. Memory is what the process
holds beyond what it held before the first batch.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.synthetic import synthetic_store
from saev.activations import ActivationStream, Store
from saev.machine.allocator import keep_freed_memory

N_IMAGES, N_PATCHES, D = 10880, 256, 384  # 2.15 GB in float16
BATCH, WINDOW, REPEATS = 4096, 32, 5


class RandomRows(Dataset):
    """The loader that one writes first."""

    def __init__(self, path: Path, n: int):
        self.path, self.n, self.rows = path, n, None

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> torch.Tensor:
        if self.rows is None:
            self.rows = np.memmap(self.path, np.float16, "r").reshape(-1, D)
        return torch.from_numpy(self.rows[i].astype(np.float32))


def median(run: Callable[[], int], repeats: int = REPEATS) -> float:
    """Median vectors/s of `run`, which returns how many it read."""
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        n = run()
        rates.append(n / (time.perf_counter() - start))
    return statistics.median(rates)


def stream_epoch(store: Store, n_batches: int) -> Callable[[], int]:
    def run() -> int:
        return sum(
            len(batch)
            for batch in islice(ActivationStream(store.tokens(0), batch_size=BATCH, window=WINDOW), n_batches)
        )

    return run


def memmap_epoch(path: Path) -> int:
    rows = np.memmap(path, np.float16, "r").reshape(-1, D)
    for first in range(0, len(rows), BATCH):
        rows[first : first + BATCH].astype(np.float32)
    return len(rows)


def random_rows(path: Path, n_batches: int) -> float:
    """Vectors/s once the workers run and what they had prefetched is used up."""
    loader = iter(
        DataLoader(
            RandomRows(path, os.path.getsize(path) // (2 * D)), batch_size=BATCH, shuffle=True, num_workers=2
        )
    )
    for _ in range(8):
        next(loader)
    return median(lambda: sum(len(next(loader)) for _ in range(n_batches)))


def cold_random_rows(path: Path) -> float:
    """Vectors/s of the first 4 batches from the disk, the start of the workers included. (Later ones find
    most of the file in memory: every row brings 128 kB with it.)"""

    def run() -> float:
        forget([path])
        start = time.perf_counter()
        loader = iter(
            DataLoader(
                RandomRows(path, os.path.getsize(path) // (2 * D)),
                batch_size=BATCH,
                shuffle=True,
                num_workers=2,
            )
        )
        return sum(len(next(loader)) for _ in range(4)) / (time.perf_counter() - start)

    return statistics.median(run() for _ in range(REPEATS))


def chunk_files(store: Store) -> list[Path]:
    return [store.path / f"acts/0/c/{c}/0/0" for c in range(store.n_chunks)]


def forget(files: list[Path]) -> None:
    for file in files:
        with open(file, "rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold(store: Store, read: Callable[[], int]) -> float:
    def run() -> float:
        forget(chunk_files(store))
        start = time.perf_counter()
        return read() / (time.perf_counter() - start)

    return statistics.median(run() for _ in range(REPEATS))


def sequential_files(store: Store) -> int:
    buffer = bytearray(16 << 20)
    for file in chunk_files(store):
        with open(file, "rb", buffering=0) as handle:
            while handle.readinto(buffer):
                pass
    return store.n_images * N_PATCHES


def resident(key: str) -> float:
    """MB that this process holds (VmRSS) or has held at most (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1e3


def memory(path: str) -> None:
    """In a fresh process: MB that the stream adds to the peak."""
    keep_freed_memory()
    store = Store(path)
    before = resident("VmRSS")
    stream_epoch(store, 600)()
    added = resident("VmHWM") - before
    window = WINDOW * store.chunk * store.n_tokens * D * 2 / 1e6
    print(json.dumps({"added_mb": round(added), "window_mb": round(window)}))


def main(directory: str = ".scratch/benchmarks") -> None:
    keep_freed_memory()
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    store = synthetic_store(path / "store", n_images=N_IMAGES, n_patches=N_PATCHES, d=D)
    flat = path / "memmap.bin"
    if not flat.exists():
        with open(flat, "wb") as file:
            for _, acts in store.tokens(0, ("cls", "patch")).chunks():
                file.write(acts.tobytes())
    n_batches = N_IMAGES * N_PATCHES // BATCH
    sequential_files(store), memmap_epoch(flat)  # into the page cache
    warm = {
        "stream": median(stream_epoch(store, n_batches)),
        "memmap_sequential": median(lambda: memmap_epoch(flat)),
        "random_row_loader": random_rows(flat, 8),
    }
    disk = {
        "stream": cold(store, stream_epoch(store, n_batches)),
        "files_in_order": cold(store, lambda: sequential_files(store)),
        "random_row_loader": cold_random_rows(flat),
    }
    command = [sys.executable, "-m", "benchmarks.reading", "memory", str(store.path)]
    peak = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(
        json.dumps(
            {
                "benchmark": "reading",
                "threads": torch.get_num_threads(),
                "warm_vectors_per_s": {key: round(rate) for key, rate in warm.items()},
                "cold_vectors_per_s": {key: round(rate) for key, rate in disk.items()},
                "stream_over_memmap": round(warm["stream"] / warm["memmap_sequential"], 2),
                "stream_over_random_rows": {
                    "warm": round(warm["stream"] / warm["random_row_loader"], 1),
                    "cold": round(disk["stream"] / disk["random_row_loader"], 1),
                },
                "stream_over_disk": round(disk["stream"] / disk["files_in_order"], 2),
                "peak_memory": peak,
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory(sys.argv[2])
    else:
        main(*sys.argv[1:])
