"""Where half a window of the shuffled stream lies: in this machine's memory, or in that of a GPU.

Both are filled chunk by chunk, each vector into the row in which it is served, and give batches of the same
values. On a GPU the chunks come through pinned memory as they lie on the disk, and the device scatters their
vectors: in half precision, while it computes on the half before. (Scattered here, and sent in order, a half
would be bound by this machine's memory, at a few GB/s, instead of by the bus.)
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Half(Protocol):
    """Rows (any, d) of half precision: `begin` a half, `put` its chunks, then serve its `batch`es."""

    def begin(self, n: int, chunk: tuple[int, int]) -> None:
        """Make room for n vectors, which come in chunks of at most this shape (vectors, d)."""

    def room(self) -> np.ndarray:
        """(vectors, d) memory for the next chunk, to be filled by the caller."""
        ...

    def put(self, taken: np.ndarray, row: np.ndarray) -> None:
        """Take the vectors with numbers `taken` of the chunk that was filled last to the rows `row`."""

    def batch(self, first: int, last: int) -> Tensor:
        """(last - first, d) float32, memory of its own."""
        ...


class OnHost:
    """A half in this machine's memory.

    Args:
        d, dtype: of the vectors.
    """

    def __init__(self, d: int, dtype: np.dtype):
        self.rows_nd, self.chunk_nd = np.empty((0, d), dtype), np.empty((0, d), dtype)

    def begin(self, n: int, chunk: tuple[int, int]) -> None:
        if len(self.rows_nd) < n:  # kept for the whole run: fresh memory would be page-fault bound
            self.rows_nd = np.empty((n, chunk[1]), self.rows_nd.dtype)
        if self.chunk_nd.shape != chunk:
            self.chunk_nd = np.empty(chunk, self.rows_nd.dtype)

    def room(self) -> np.ndarray:
        return self.chunk_nd

    def put(self, taken: np.ndarray, row: np.ndarray) -> None:
        self.rows_nd[row] = self.chunk_nd[taken]

    def batch(self, first: int, last: int) -> Tensor:
        return torch.from_numpy(self.rows_nd[first:last]).to(torch.float32, copy=True)


class OnDevice:
    """A half in the memory of a device, which is where its batches lie.

    A GPU copies and scatters on a stream of its own: it begins when the batches that were served from these
    rows before have been taken, and the first batch waits for its end. Two chunks are pinned: one is read
    from the disk while the other is sent.
    """

    def __init__(self, d: int, dtype: np.dtype, device: torch.device):
        self.device, self.dtype = device, torch.from_numpy(np.empty(0, dtype)).dtype
        self.rows_nd = torch.empty((0, d), dtype=self.dtype, device=device)
        self.side = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.pinned: list[Tensor] = []
        self.sent: list[torch.cuda.Event | None] = []
        self.done: torch.cuda.Event | None = None
        self.turn = 0

    def begin(self, n: int, chunk: tuple[int, int]) -> None:
        if self.side:
            self.side.wait_stream(torch.cuda.default_stream(self.device))
        if len(self.rows_nd) < n:
            self.rows_nd = self.rows_nd.new_empty((n, chunk[1]))
        if not self.pinned or self.pinned[0].shape != chunk:
            pin = self.side is not None
            self.pinned = [torch.empty(chunk, dtype=self.dtype, pin_memory=pin) for _ in range(2)]
            self.sent = [None, None]
        self.done = None

    def room(self) -> np.ndarray:
        self.turn = 1 - self.turn
        if (sent := self.sent[self.turn]) is not None:
            sent.synchronize()
        return self.pinned[self.turn].numpy()

    def put(self, taken: np.ndarray, row: np.ndarray) -> None:
        with self._beside():
            chunk_nd, taken_n, row_n = (
                part.to(self.device, non_blocking=True)
                for part in (self.pinned[self.turn], torch.from_numpy(taken), torch.from_numpy(row))
            )
            self.rows_nd.index_copy_(0, row_n, chunk_nd.index_select(0, taken_n))
            if self.side:
                self.sent[self.turn] = self.done = torch.cuda.Event()
                self.done.record(self.side)

    def batch(self, first: int, last: int) -> Tensor:
        if self.done is not None:
            torch.cuda.default_stream(self.device).wait_event(self.done)
        return self.rows_nd[first:last].to(torch.float32, copy=True)

    def _beside(self) -> AbstractContextManager:
        return torch.cuda.stream(self.side) if self.side else nullcontext()
