"""The shuffled stream of activation vectors that SAEs are trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from saev.activations.chunks import read_soon
from saev.activations.halves import Half, OnDevice, OnHost
from saev.activations.tokens import Tokens
from saev.checks import check_int
from saev.errors import SaevError


class HalfWindow(NamedTuple):
    """Chunks whose vectors are shuffled and served together."""

    seed: list[int]
    """Of the shuffle: the stream's, the epoch, the half window's number in it."""
    chunks: np.ndarray
    """(c,) numbers of the chunks."""
    n_batches: int


class ActivationStream(IterableDataset):
    """Endless batches (batch_size / world, d) float32 of raw activations.

    Batch t is a pure function of (seed, t), so that a training can be resumed at any step.
    Each epoch permutes the chunks of the store and takes half a window of them at a time. A
    thread reads them and puts every vector where the shuffle wants it, while the half
    before is served; what remains of a half, less than a batch, waits for another epoch's
    shuffle. benchmarks/mixing.py measures how close to a perfect shuffle this comes.

    The vectors are moved while they are half precision and in the reading thread: a batch is
    then one conversion of consecutive rows. (Gathering each batch from the window, at 1/3
    of this speed, was the slowest part of training.)

    Args:
        tokens: what is served; images that could not be decoded are left out.
        batch_size: vectors per batch, over all ranks; a multiple of `world`.
        window: chunks in memory, half of them served, half being read.
        seed: of the shuffle.
        start: first t, to resume in the middle.
        part: (rank, world): this process takes rows rank, rank + world, ... of every batch.
        device: where the window and the batches lie; a GPU shuffles in its own memory, to the same batches.

    Raises:
        SaevError: a bad option, or fewer vectors than a batch; on reading, a damaged chunk.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        batch_size: int,
        window: int = 32,
        seed: int = 0,
        start: int = 0,
        part: tuple[int, int] = (0, 1),
        device: torch.device | str = "cpu",
    ):
        check_int("batch_size", batch_size, low=1)
        check_int("window", window, low=2)
        rank, world = part
        if batch_size % world:
            raise SaevError(f"batch_size must be a multiple of the {world} processes, got {batch_size}")
        if tokens.n_vectors < batch_size:
            raise SaevError(
                f"{tokens.path}: {tokens.n_vectors} vectors are fewer than batch_size={batch_size}"
            )
        self.tokens, self.batch_size, self.half = tokens, batch_size, window // 2
        self.seed, self.start, self.rank, self.world = seed, start, rank, world
        self.device = torch.device(device)

    def __iter__(self) -> Iterator[Tensor]:
        size, skip = self.batch_size // self.world, self.start
        windows = self._windows()
        window = next(windows)
        while skip >= window.n_batches:
            skip -= window.n_batches
            window = next(windows)
        served, spare = self._half(), self._half()  # for the whole run
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._read, window, spare)
            while True:
                served, spare = coming.result(), served
                following = next(windows)
                coming = reader.submit(self._read, following, spare)
                for t in range(skip, window.n_batches):
                    yield served.batch(t * size, (t + 1) * size)
                window, skip = following, 0

    def places(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For every batch from the first on, where its vectors lie, without reading any.

        Yields:
            (images, positions), each (batch_size / world,): the arguments of `Tokens.at`.
        """
        for window in self._windows():
            images = np.concatenate([self._images(c) for c in window.chunks])
            for batch in self._order(window).reshape(window.n_batches, -1):
                image, position = np.divmod(batch[self.rank :: self.world], self.tokens.per_image)
                yield images[image], position

    def _windows(self) -> Iterator[HalfWindow]:
        """The half windows of every epoch."""
        counts = np.array([self._count([c]) for c in range(self.tokens.store.n_chunks)])
        epoch = 0
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(counts))
            carried: list[int] = []
            for w, first in enumerate(range(0, len(order), self.half)):
                chunks = np.array([*carried, *order[first : first + self.half]])
                n_batches = int(counts[chunks].sum()) // self.batch_size
                # A half smaller than a batch joins the next one; at the end of an epoch it is left out.
                carried = [] if n_batches else chunks.tolist()
                if n_batches:
                    yield HalfWindow([self.seed, epoch, w], chunks, n_batches)
            epoch += 1

    def _images(self, c: int) -> np.ndarray:
        """Numbers of the images of chunk c that are present."""
        start, size = c * self.tokens.store.chunk, self.tokens.store.chunk
        return start + np.flatnonzero(self.tokens.store.present[start : start + size])

    def _count(self, chunks: list[int] | np.ndarray) -> int:
        """Number of vectors of the chunks."""
        return sum(len(self._images(c)) for c in chunks) * self.tokens.per_image

    def _order(self, window: HalfWindow) -> np.ndarray:
        """Which vector of the window is served when, (n_batches * batch_size,)."""
        shuffled = np.random.default_rng(window.seed).permutation(self._count(window.chunks))
        return shuffled[: window.n_batches * self.batch_size]

    def _half(self) -> Half:
        of = self.tokens.d, self.tokens.store.dtype
        return OnHost(*of) if self.device.type == "cpu" else OnDevice(*of, self.device)

    def _read(self, window: HalfWindow, half: Half) -> Half:
        """This rank's vectors of the window, brought into `half` in the order in which they are served."""
        store, positions = self.tokens.store, self.tokens.positions
        served = self._order(window)[self.rank :: self.world]
        row = np.full(self._count(window.chunks), -1)  # of the half, for every vector of the window
        row[served] = np.arange(len(served))
        half.begin(len(served), (store.chunk * store.n_tokens, store.d))
        done = 0
        for c, following in zip(window.chunks, [*window.chunks[1:], None], strict=True):
            if following is not None:
                read_soon(store.chunk_file(self.tokens.layer, following))
            store.read_chunk(self.tokens.layer, c, half.room().reshape(store.chunk, store.n_tokens, store.d))
            vectors = ((self._images(c) % store.chunk)[:, None] * store.n_tokens + positions).ravel()
            to = row[done : done + len(vectors)]
            done += len(vectors)
            half.put(vectors[to >= 0], to[to >= 0])
        return half
