"""One progress bar for all long work: rate and time left, silent when not a terminal and in all processes but the first."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from saev.machine import distributed

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int, unit: str = "images", size: int = 1) -> Iterator[T]:
    """Iterate over `items`, each worth `size` units of `total`, showing units/s and ETA."""
    if not sys.stderr.isatty() or distributed.rank() > 0:
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rate="")
        for item in items:
            yield item
            speed = progress.tasks[0].speed
            progress.update(task, advance=size, rate=f"{speed:,.0f} {unit}/s" if speed else "")
