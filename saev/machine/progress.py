"""How far long work is: a bar on a terminal, elsewhere a line a minute; only the first process speaks."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from saev.machine import distributed

if TYPE_CHECKING:  # imported where somebody watches
    import rich.progress

T = TypeVar("T")

BAR_EVERY, LINE_EVERY = 0.1, 60.0
"""Seconds between states of a bar; between lines, and before the first: short work says nothing in a log."""


def track(
    items: Iterable[T], what: str, total: int, unit: str = "images", size: int | Callable[[T], int] = 1
) -> Iterator[T]:
    """Iterate over `items` and show how many units of `total` are done, units per second and the time left.

    Args:
        what: the stage, and the split if there are several, such as "extract train".
        total: units in all items together.
        size: units in each item, of which the last may have fewer, or a function that counts those of one.
    """
    with closing(Progress(what, total, unit)) as progress:
        done = 0
        for item in items:
            yield item
            done = min(done + (size(item) if callable(size) else size), total)
            progress.update(done)
        progress.update(total)  # less was counted where images were left out


class Progress:
    """One piece of work of `total` units, shown until it is closed.

    On a terminal "extract train ━━━━━━ 3,200 of 10,000 images, 52 images/s, 2 min left"; elsewhere the same
    without the bar.

    Args:
        done: units that were done before, in another run.
        facts: what to say at a rate of so many units per second; by default the rate.
    """

    def __init__(
        self, what: str, total: int, unit: str, *, done: int = 0, facts: Callable[[float], str] | None = None
    ):
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self.facts = facts or (lambda rate: f"{number(rate)} {unit}/s")
        now = monotonic()
        self._shown = now
        self._marks = deque([(now, done)], maxlen=30)  # a second or more apart: what the rate is taken over
        first = distributed.rank() == 0
        self._bar = _bar(what, total, done) if first and sys.stderr.isatty() else None
        self._every = BAR_EVERY if self._bar else LINE_EVERY if first else float("inf")

    def update(self, done: int) -> None:
        """Tell that `done` units are done."""
        self.done = done
        now = monotonic()
        if now - self._shown >= self._every:
            self._show(now)
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, done))

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar:
            self._show(monotonic())
            self._bar.stop()

    def _show(self, now: float) -> None:
        (then, before), self._shown = self._marks[0], now
        rate = (self.done - before) / max(now - then, 1e-9)
        state = f"{self.done:,} of {self.total:,} {self.unit}"
        if rate > 0:
            state += f", {self.facts(rate)}"
            if self.done < self.total:
                state += f", {duration((self.total - self.done) / rate)} left"
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self.done, state=state)
        else:
            print(f"{self.what}: {state}", file=sys.stderr, flush=True)


def say(line: str) -> None:
    """One line to stderr, from the first process."""
    if distributed.rank() == 0:
        print(line, file=sys.stderr, flush=True)


def number(value: float) -> str:
    """Two digits at least: 61,000, 52, 5.2, 0.052."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """The largest unit of which there are more than one and a half: 80 s, 2 min, 3 h, 2 days."""
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bar(what: str, total: int, done: int) -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[state]}", markup=False),
    )
    bar = Progress(*columns, console=Console(stderr=True), expand=True)
    bar.add_task(what, total=total, completed=done, state="")
    bar.start()
    return bar
