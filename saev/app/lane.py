"""One thread that computes, and those who wait for it: of each client only the latest request."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

Result = TypeVar("Result")

CLIENTS = 256
"""Of so many it is remembered what they asked for last."""


class Superseded(Exception):
    """The same client has asked anew since."""


class Busy(Exception):
    """Too many wait."""


class Gone(Exception):
    """Nobody waits for the answer any more."""


class Lane:
    """Jobs one after the other, in a thread of its own: torch keeps a pool of threads for each that calls it.

    Args:
        waiting: how many may wait at most.
    """

    def __init__(self, waiting: int = 64):
        self.most, self.waiting, self._tickets = waiting, 0, 0
        self._latest = OrderedDict[str, int]()
        self._thread = ThreadPoolExecutor(1)

    async def run(self, request: Request, job: Callable[[], Result], client: str | None = None) -> Result:
        """The job's result.

        Args:
            client: whose jobs supersede one another: one that waits is dropped when the next comes.

        Raises:
            Busy, Superseded, Gone: it was not run, and why.
        """
        if self.waiting >= self.most:
            raise Busy
        self._tickets += 1
        ticket = self._tickets
        if client is not None:
            self._latest[client] = ticket
            self._latest.move_to_end(client)
            while len(self._latest) > CLIENTS:
                self._latest.popitem(last=False)

        def start() -> Result:
            if client is not None and self._latest.get(client, ticket) != ticket:
                raise Superseded
            return job()

        self.waiting += 1
        running = asyncio.wrap_future(self._thread.submit(start))
        running.add_done_callback(self._done)
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                running.cancel()  # which stops it if it waits still
                raise Gone
            return running.result()
        finally:
            leaving.cancel()

    def _done(self, running: asyncio.Future) -> None:
        self.waiting -= 1
        if not running.cancelled():
            running.exception()  # seen, whether or not anybody waits

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def _left(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
