"""Bars and lines against what was really done, by a clock that the tests turn."""

import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saev.machine import distributed, progress, track


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch, columns=100) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def work(clock, items, seconds):
    for item in items:
        clock.now += seconds
        yield item


def test_a_log_gets_one_line_a_minute_with_rate_and_time_left(clock, capsys):
    items = work(clock, range(100), seconds=3)
    assert list(track(items, "extract train", total=10_000, size=100)) == list(range(100))
    lines = capsys.readouterr().err.splitlines()
    # A step is counted when the work on it is over, that is when the next one is asked for.
    assert lines[0] == "extract train: 2,000 of 10,000 images, 33 images/s, 4 min left"
    assert len(lines) == 5 and lines[-1].startswith("extract train: 10,000 of 10,000 images")


def test_short_work_is_not_logged(clock, capsys):
    list(track(work(clock, range(10), seconds=5), "probe", total=10))
    assert capsys.readouterr().err == ""


def test_only_the_first_process_speaks(clock, capsys, monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    list(track(work(clock, range(10), seconds=50), "probe", total=10))
    progress.say("continues")
    terminal = watch(monkeypatch)
    list(track(work(clock, range(10), seconds=50), "probe", total=10))
    assert capsys.readouterr().err == terminal.getvalue() == ""


@given(sizes=st.lists(st.integers(1, 50), max_size=20), missing=st.integers(0, 40))
def test_progress_counts_what_is_done_and_ends_at_the_end(sizes, missing):
    """With functions that count, and with a constant where the last item is smaller."""
    for items, size in ((sizes, lambda item: item), (sizes, 50)):
        seen: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress.Progress, "update", lambda _, done, seen=seen: seen.append(done))
            list(track(items, "x", total=sum(sizes) + missing, size=size))
        assert seen[-1] == sum(sizes) + missing and max(seen) == seen[-1] and seen == sorted(seen)
        if callable(size):
            assert seen[:-1] == [sum(sizes[: i + 1]) for i in range(len(sizes))]


def test_the_bar_of_a_terminal_names_the_work_and_ends_at_its_total(clock, monkeypatch):
    terminal = watch(monkeypatch)
    list(track(work(clock, range(3), seconds=40), "features [val]", total=90, size=32))
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).splitlines()[-1]
    assert last.startswith("features [val] ━") and "90 of 90 images, 0.75 images/s" in last
    assert "left" not in last and len(last) <= 100


def test_work_that_was_begun_before_is_not_counted_into_the_rate(clock, capsys):
    work = progress.Progress("train", 1000, "steps", done=900, facts=lambda rate: f"{rate * 64:g} tokens/s")
    clock.now = 100
    work.update(950)
    assert capsys.readouterr().err == "train: 950 of 1,000 steps, 32 tokens/s, 2 min left\n"


@pytest.mark.parametrize(
    ("value", "text"), [(61_234.5, "61,234"), (52.4, "52"), (5.24, "5.2"), (0.0524, "0.052")]
)
def test_rates_below_ten_keep_two_digits(value, text):
    assert progress.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (5_000, "83 min"), (7_200, "2 h"), (2e5, "2 days")],
)
def test_durations_are_told_in_the_largest_unit(seconds, text):
    assert progress.duration(seconds) == text
