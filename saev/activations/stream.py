"""The shuffled stream of activation vectors that SAEs are trained on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from saev.activations.chunks import read_soon
from saev.activations.store import Store
from saev.checks import check_int, check_number
from saev.data.sample import IGNORE
from saev.errors import SaevError


class ActivationStream(IterableDataset):
    """Endless batches (batch_size / world, d) float32 of raw activations; batch t is a pure function of (seed, t).

    Each epoch permutes the chunks of the store and takes half a window of them at a time. A
    thread reads them and puts every vector where the shuffle wants it, while the half
    before is served; what remains of a half, less than a batch, waits for another epoch's
    shuffle. benchmarks/mixing.py measures how close to a perfect shuffle this comes.

    The vectors are moved while they are half precision and in the reading thread: a batch is
    then one conversion of consecutive rows. (Gathering each batch from the window, at 1/3
    of this speed, was the slowest part of training.)

    Args:
        store: where the activations lie.
        layer: which of them.
        batch_size: vectors per batch, over all ranks; a multiple of `world`.
        window: chunks in memory, half of them served, half being read.
        seed: of the shuffle.
        start: first t, to resume in the middle.
        rank, world: this process takes rows rank, rank + world, ... of every batch.
        tokens: kinds to take: patch, cls, register, meanpool.
        labelled: leave out patches whose label is IGNORE.
        max_norm: leave out tokens whose norm is more than so many times the median of the layer's
            tokens of the first kind taken: the artefact tokens of Darcet et al. 2023 (arXiv 2309.16588).
            `pipeline.inspect_store` prints the norms.

    Raises:
        SaevError: a bad option, or fewer vectors than a batch.
    """

    def __init__(
        self,
        store: Store,
        layer: int,
        *,
        batch_size: int,
        window: int = 32,
        seed: int = 0,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        tokens: Sequence[str] = ("patch",),
        labelled: bool = False,
        max_norm: float | None = None,
    ):
        check_int("batch_size", batch_size, low=1)
        check_int("window", window, low=2)
        if batch_size % world:
            raise SaevError(f"batch_size must be a multiple of the {world} processes, got {batch_size}")
        self.store, self.layer = store, store.layer(layer)
        self.batch_size, self.half, self.seed, self.start = batch_size, window // 2, seed, start
        self.rank, self.world = rank, world
        self.positions, self.labelled, self.max_length = store.positions(tokens), labelled, None
        if max_norm is not None:
            check_number("max_norm", max_norm, low=0, above=True)
            first = next(kind for kind in store.tokens if kind in tokens)
            self.max_length = max_norm * store.attrs["stats"][str(self.layer)][first]["median_norm"]
        if labelled and "patch" not in store.tokens:
            raise SaevError(f"{store.path}: labelled=True needs patch tokens; it holds {list(store.tokens)}")
        self.counts = self._counts()
        if self.counts.sum() < batch_size:
            raise SaevError(
                f"{store.path}: {self.counts.sum()} vectors are fewer than batch_size={batch_size}"
            )

    def __iter__(self) -> Iterator[Tensor]:
        plan, skip, size = self._plan(), self.start, self.batch_size // self.world
        with ThreadPoolExecutor(1) as reader:
            part = next(plan)
            while skip >= part[2]:
                skip -= part[2]
                part = next(plan)
            # Two halves of memory for the whole run: fresh ones would be page-fault bound.
            served, spare = (np.empty((0, self.store.d), self.store.attrs["dtype"]) for _ in range(2))
            coming = reader.submit(self._read, *part, spare)
            while True:
                n_batches = part[2]
                served, spare = coming.result(), served
                part = next(plan)
                coming = reader.submit(self._read, *part, spare)
                for t in range(skip, n_batches):
                    yield torch.from_numpy(served[t * size : (t + 1) * size]).to(torch.float32, copy=True)
                skip = 0

    def places(self) -> Iterator[np.ndarray]:
        """Yield for every batch the (image, token position) of its vectors, (batch_size / world, 2), without reading any."""
        t = self.store.n_tokens
        for part in self._plan():
            rows = np.concatenate([c * self.store.chunk * t + self._kept(c) for c in part[1]])
            order = self._order(*part)
            for batch in order.reshape(part[2], -1):
                yield np.stack(np.divmod(rows[batch[self.rank :: self.world]], t), axis=1)

    def _plan(self) -> Iterator[tuple[list[int], np.ndarray, int]]:
        """(seed of its shuffle, chunks, number of batches) of every half window of every epoch."""
        epoch = 0
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.counts))
            carried: list[int] = []
            for w, first in enumerate(range(0, len(order), self.half)):
                chunks = np.array([*carried, *order[first : first + self.half]])
                n_batches = int(self.counts[chunks].sum()) // self.batch_size
                # A half smaller than a batch joins the next one; at the end of an epoch it is left out.
                carried = [] if n_batches else chunks.tolist()
                if n_batches:
                    yield [self.seed, epoch, w], chunks, n_batches
            epoch += 1

    def _order(self, key: list[int], chunks: np.ndarray, n_batches: int) -> np.ndarray:
        """Which vector of the chunks is served when, (n_batches * batch_size,)."""
        return np.random.default_rng(key).permutation(self.counts[chunks].sum())[
            : n_batches * self.batch_size
        ]

    def _read(self, key: list[int], chunks: np.ndarray, n_batches: int, memory: np.ndarray) -> np.ndarray:
        """This rank's vectors of the chunks in the order in which they are served: `memory`, or a larger one, whose
        first rows they are, (>= n, d) in the store's dtype."""
        total = self.counts[chunks].sum()
        place = np.full(total, -1)
        mine = self._order(key, chunks, n_batches)[self.rank :: self.world]
        place[mine] = np.arange(len(mine))
        store, at = self.store, 0
        if len(memory) < len(mine):
            memory = np.empty((len(mine), store.d), store.attrs["dtype"])
        buffer = np.empty((store.chunk, store.n_tokens, store.d), store.attrs["dtype"])
        for c, following in zip(chunks, [*chunks[1:], None], strict=True):
            if following is not None:
                read_soon(store.chunk_file(self.layer, following))
            flat = store.read_chunk(self.layer, c, buffer).reshape(-1, store.d)
            kept = self._kept(c)
            to = place[at : at + len(kept)]
            at += len(kept)
            here = to >= 0
            memory[to[here]] = flat[kept[here]]
        return memory

    def _counts(self) -> np.ndarray:
        """Number of vectors taken from every chunk, (n_chunks,): all that must be known in advance."""
        store = self.store
        if not self.labelled and self.max_length is None:
            starts = np.arange(0, store.n_images, store.chunk)
            return np.add.reduceat(store.present.astype(np.int64), starts) * len(self.positions)
        return np.array([len(self._kept(c)) for c in range(store.n_chunks)])

    def _kept(self, c: int) -> np.ndarray:
        """Which vectors of chunk c are taken, as indices into its (images * tokens)."""
        store = self.store
        first, last = c * store.chunk, min((c + 1) * store.chunk, store.n_images)
        keep = np.zeros((last - first, store.n_tokens), bool)
        keep[:, self.positions] = store.present[first:last, None]
        if self.labelled:
            keep[:, slice(*store.tokens["patch"])] &= store.patch_labels(first, last) != IGNORE
        if self.max_length is not None:
            keep &= store.norms(self.layer, first, last) <= self.max_length
        return np.flatnonzero(keep)
