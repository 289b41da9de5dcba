"""The ledger: what it says, who is confirmatory by it, and what becomes of it in wrong hands."""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saev.errors import SaevError
from saev.hypotheses import Standing, fingerprint, open_sealed, read_ledger, register, standing
from saev.hypotheses import ledger as module
from tests.hypotheses.examples import hypothesis
from tests.killing import killed_before

CELL = hypothesis().cell
SEALED = {"kind": "confirmatory", "split": "sealed"}
FEW = [hypothesis(str(i), strength=-i, **SEALED) for i in range(1, 4)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "ledger.jsonl"


@pytest.fixture
def written(path):
    """Three registrations, an opening, and one more."""
    register(path, FEW, "c0ffee")
    open_sealed(path, CELL, FEW, "c0ffee")
    register(path, [hypothesis("late", images=7, **SEALED)], "c0ffee")
    return path


def test_a_line_says_what_was_registered_and_bears_the_hash_of_the_line_before(written):
    raw = written.read_bytes().splitlines(keepends=True)
    lines = [json.loads(line) for line in raw]
    assert read_ledger(written) == lines and [line["n"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0] == {
        "n": 1,
        "event": "registered",
        "name": "1",
        "cell": CELL,
        "sha256": fingerprint(FEW[0]),
        "code": "c0ffee",
        "previous": "",
    }
    assert [line["previous"] for line in lines[1:]] == [hashlib.sha256(line).hexdigest() for line in raw[:-1]]
    assert lines[3]["event"] == "opened" and lines[3]["opening"] == 1 and lines[3]["cell"] == CELL


def test_the_same_again_appends_nothing(written):
    before, changed = written.read_bytes(), written.stat()
    assert register(written, FEW, "other code") == read_ledger(written)
    open_sealed(written, CELL, FEW[::-1], "c0ffee")
    assert written.read_bytes() == before and written.stat() == changed
    assert sorted(file.name for file in written.parent.iterdir()) == ["ledger.jsonl"]


def test_openings_are_counted_by_cell_hypotheses_and_code(written):
    open_sealed(written, CELL, FEW[:2], "c0ffee")
    open_sealed(written, "another-cell", FEW, "c0ffee")
    lines = open_sealed(written, CELL, FEW, "decade")
    opened = [(line["cell"], line["opening"]) for line in lines if line["event"] == "opened"]
    assert opened == [(CELL, 1), (CELL, 2), ("another-cell", 1), (CELL, 3)]


def test_the_sealed_split_stays_closed_for_what_is_not_registered(path):
    register(path, FEW[:1], "c0ffee")
    with pytest.raises(SaevError, match=r"ledger\.jsonl: 2 is not registered; the sealed split stays closed"):
        open_sealed(path, CELL, FEW[:2], "c0ffee")
    assert len(read_ledger(path)) == 1


def test_a_ledger_that_is_not_there_is_empty(path):
    assert read_ledger(path) == register(path, [], "c0ffee") == [] and not path.exists()
    assert standing(FEW[0], []) == Standing("exploratory", "not registered", None)


def test_confirmatory_is_what_was_registered_before_the_first_opening_of_its_cell(written):
    lines = read_ledger(written)
    before = "registered before the sealed split was opened"
    assert standing(FEW[1], lines) == Standing("confirmatory", before, 2)
    # Its words may change, and its name; what it says may not.
    assert standing(hypothesis("new name", strength=-2, claim="Else.", **SEALED), lines).registered == 2
    changed = hypothesis("2", strength=-2.5, **SEALED)
    assert standing(changed, lines).kind == "exploratory"
    lines = register(written, [changed], "c0ffee")
    assert standing(changed, lines) == Standing("exploratory", "changed after the sealed split was opened", 6)
    late = standing(hypothesis("late", images=7, **SEALED), lines)
    assert late == Standing("exploratory", "registered after the sealed split was opened", 5)
    elsewhere = hypothesis("2", cell="another-cell", **SEALED)
    assert standing(elsewhere, register(written, [elsewhere], "c0ffee")).kind == "confirmatory"


def test_exploratory_stays_what_was_not_meant_to_be_more(written):
    explored = hypothesis()
    lines = register(written, [explored], "c0ffee")
    assert standing(explored, lines) == Standing("exploratory", "says so", 6)
    # Calling it confirmatory once the outcome is known makes it another hypothesis.
    assert standing(hypothesis(**SEALED), lines).reason == "not registered"


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_any_line_changed_moved_taken_out_or_put_in_is_noticed(written, data):
    raw = written.read_bytes()
    lines = raw.splitlines(keepends=True)
    how = data.draw(st.sampled_from(["byte", "swap", "drop", "double", "field"]))
    i = data.draw(st.integers(0, len(lines) - 2))
    if how == "byte":
        at = data.draw(st.integers(0, len(raw) - 1))
        changed = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
        if at >= len(raw) - len(lines[-1]) and _says_something_else(changed):
            return  # the last line has no line after it that tells
    elif how == "swap":
        lines[i], lines[i + 1] = lines[i + 1], lines[i]
        changed = b"".join(lines)
    elif how == "field":
        said = json.loads(lines[i])
        key = data.draw(st.sampled_from(sorted(said)))
        lines[i] = json.dumps(said | {key: data.draw(st.none() | st.text() | st.integers())}).encode() + b"\n"
        changed = b"".join(lines)
    else:
        changed = b"".join([*lines[:i], *([lines[i]] * 2 if how == "double" else []), *lines[i + 1 :]])
    try:
        written.write_bytes(changed)
        if changed != raw:
            with pytest.raises(
                SaevError, match=r"ledger\.jsonl: line \d is (torn|not what was written after)"
            ):
                read_ledger(written)
            with pytest.raises(SaevError):
                register(written, [hypothesis("more", images=9)], "c0ffee")
            assert written.read_bytes() == changed
    finally:
        written.write_bytes(raw)


def _says_something_else(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content.splitlines()[-1]), dict)
    except ValueError:
        return False


def test_a_cut_is_refused_unless_it_is_between_lines(written):
    raw = written.read_bytes()
    for size in sorted(
        {*range(0, len(raw), 11), *(at + 1 for at in range(len(raw)) if raw[at] == ord("\n"))}
    ):
        written.write_bytes(raw[:size])
        n = raw[:size].count(b"\n")
        if size and raw[size - 1] != ord("\n"):
            with pytest.raises(
                SaevError, match=rf"line {n + 1} is torn; restore the file from version control"
            ):
                read_ledger(written)
        else:
            assert len(read_ledger(written)) == n


def _registers(path, first):
    for i in range(first, first + 10):
        register(path, [hypothesis(str(i), images=i + 1)], "c0ffee")


def test_processes_that_append_at_once_lose_nothing(path):
    processes = multiprocessing.get_context("fork")
    both = [processes.Process(target=_registers, args=(path, first)) for first in (0, 5, 100)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0, 0]
    lines = read_ledger(path)
    assert sorted(int(line["name"]) for line in lines) == [*range(15), *range(100, 110)]


def test_a_run_that_waits_too_long_says_for_whom(path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    path.parent.mkdir()
    held, released = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with module._alone(path.with_name(path.name + ".held")):
            os.write(held[1], b"!")
            os.read(released[0], 1)
        os._exit(0)
    os.read(held[0], 1)
    try:
        with pytest.raises(SaevError, match=r"another run is at work in .*ledger\.jsonl\.held"):
            register(path, FEW, "c0ffee")
    finally:
        os.write(released[1], b"!")
        os.waitpid(child, 0)
    assert len(register(path, FEW, "c0ffee")) == 3


def test_what_lies_where_it_locks_is_not_deleted(path):
    theirs = path.with_name("ledger.jsonl.held") / "thesis.doc"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    assert len(register(path, FEW, "c0ffee")) == 3
    assert [file.name for file in theirs.parent.iterdir()] == ["thesis.doc"]


def test_killed_before_any_step_it_has_all_lines_or_those_of_before(written):
    before, n, killed = len(read_ledger(written)), 0, True
    while killed:
        n += 1
        more = [hypothesis(f"{n} {i}", images=10 * n + i) for i in range(5)]
        killed = killed_before(n, partial(register, written, more, "c0ffee"), written.parent)
        found = len(read_ledger(written))
        assert found - before in ((0, 5) if killed else (5,))
        before = found
    assert n > 4
    assert sorted(file.name for file in written.parent.iterdir()) == ["ledger.jsonl"]


def test_killed_at_any_time_the_next_run_goes_on(path):
    for i in range(8):
        child = os.fork()
        if child == 0:
            for k in range(10_000):
                register(path, [hypothesis(f"{i}-{k}", images=1 + 10_000 * i + k)], "c0ffee")
            os._exit(0)
        time.sleep(0.02 + 0.01 * i)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = read_ledger(path)
        assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(register(path, FEW, "c0ffee")) == len(lines) + 3 > 3
