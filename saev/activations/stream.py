"""The shuffled stream of activation vectors that SAEs are trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from saev.activations.store import Store
from saev.errors import SaevError
from saev.options import check_int


class ActivationStream(IterableDataset):
    """Endless batches (batch_size, d) float32 of raw patch activations; batch t is a pure function of (seed, t).

    Each epoch permutes the chunks of the store and reads `window` of them at a time; the
    vectors of a window are shuffled together and cut into batches (a remainder smaller
    than a batch waits for another epoch's shuffle). A thread reads the next window
    meanwhile, so memory is two windows.

    Args:
        store: where the activations lie.
        layer: which of them.
        batch_size: vectors per batch, over all ranks.
        window: chunks that are shuffled together.
        seed: of the shuffle.
        start: first t, to resume in the middle.
        rank, world: this process takes rows rank, rank + world, ... of every batch.
    """

    def __init__(self, store: Store, layer: int, *, batch_size: int, window: int = 16, seed: int = 0, start: int = 0,
                 rank: int = 0, world: int = 1):  # fmt: skip
        check_int("batch_size", batch_size, low=1)
        check_int("window", window, low=1)
        self.acts, self.n_special, self.chunk = store.acts(layer), store.n_special, store.chunk
        self.batch_size, self.window, self.seed, self.start = batch_size, window, seed, start
        self.rank, self.world = rank, world
        self.n_images, self.per_image = store.n_images, store.n_patches
        self.n_chunks = -(-self.n_images // self.chunk)
        if self.n_images * self.per_image < batch_size:
            raise SaevError(f"{store.path}: {self.n_images * self.per_image} patch vectors are fewer than batch_size={batch_size}")

    def __iter__(self) -> Iterator[Tensor]:
        plan = self._windows()
        skip = self.start
        with ThreadPoolExecutor(1) as reader:
            key, chunks, n_batches = next(plan)
            while skip >= n_batches:
                skip -= n_batches
                key, chunks, n_batches = next(plan)
            coming = reader.submit(self._read, chunks)
            while True:
                rows_nd, rng = coming.result(), np.random.default_rng(key)
                order = torch.from_numpy(rng.permutation(len(rows_nd)))
                this_window, (key, chunks, following) = n_batches, next(plan)
                coming = reader.submit(self._read, chunks)
                for j in range(skip, this_window):
                    rows = order[j * self.batch_size : (j + 1) * self.batch_size]
                    yield rows_nd[rows[self.rank :: self.world]].float()
                skip, n_batches = 0, following

    def _windows(self) -> Iterator[tuple[list[int], np.ndarray, int]]:
        """(seed of its shuffle, chunks, number of batches) of every window of every epoch."""
        epoch = 0
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.n_chunks)
            carried = []
            for w, first in enumerate(range(0, self.n_chunks, self.window)):
                chunks = [*carried, *order[first : first + self.window]]
                images = sum(min(self.chunk, self.n_images - c * self.chunk) for c in chunks)
                n_batches = images * self.per_image // self.batch_size
                # A window smaller than a batch joins the next one; at the end of an epoch it is left out.
                if n_batches:
                    yield [self.seed, epoch, w], np.array(chunks), n_batches
                    carried = []
                else:
                    carried = chunks
            epoch += 1

    def _read(self, chunks: np.ndarray) -> Tensor:
        """Patch vectors of the chunks, (n, d) float16."""
        parts = [self.acts[c * self.chunk : (c + 1) * self.chunk][:, self.n_special :] for c in chunks]
        return torch.from_numpy(np.concatenate(parts).reshape(-1, self.acts.shape[-1]))
