"""The ledger: which hypotheses were registered, and when the sealed split was opened, in the order in which
it happened.

Lines of JSON that only ever grow. Each bears the SHA-256 of the line before it, so that whoever changes,
moves or takes out a line breaks the chain. It does not tell of the end, of a cut there or another last line,
nor of a chain that is forged anew; version control does. There are no clock times, so that a study run again
writes the same.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from saev.errors import SaevError
from saev.files import digest, write_bytes
from saev.hypotheses.hypothesis import Hypothesis, fingerprint
from saev.scratch import leave, locked

REGISTERED, OPENED = "registered", "opened"
KEYS = {
    REGISTERED: {"n", "event", "name", "cell", "sha256", "code", "previous"},
    OPENED: {"n", "event", "cell", "opening", "sha256", "code", "previous"},
}
"""What a line says: its number n from 1; of a hypothesis its name, cell and fingerprint; of an opening of the
sealed split for a cell how many there were with it, and of which hypotheses; a hash of the code that tests
them (not a commit: that of the line itself is known to git, and every other would be another opening); the
SHA-256 of the previous line, of the first ""."""
PATIENCE = 60
"""Seconds that a run waits for others to write theirs."""


class Standing(NamedTuple):
    """What a verdict on a hypothesis may be called."""

    kind: Literal["exploratory", "confirmatory"]
    reason: str
    registered: int | None
    """The line of its registration; None: it has none."""


def read_ledger(path: str | Path) -> list[dict]:
    """The lines of a ledger, of one that is not there none.

    Raises:
        SaevError: a line is torn, or is not the one that was written.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    lines: list[dict] = []
    for n, written in enumerate(content.splitlines(keepends=True), 1):
        if not written.endswith(b"\n"):
            raise SaevError(f"{path}: line {n} is torn; {_REMEDY}")
        line = _decoded(written)
        if line is None or (line["n"], line["previous"]) != (n, _hash(lines)):
            raise SaevError(f"{path}: line {n} is not what was written after line {n - 1}; {_REMEDY}")
        lines.append(line)
    return lines


_REMEDY = "restore the file from version control, or what it registers counts for nothing"


def register(path: str | Path, hypotheses: Sequence[Hypothesis], code: str) -> list[dict]:
    """Write down each hypothesis that is not registered yet, in one go, before its outcome is read.

    Args:
        code: a hash of what will test them.

    Returns:
        The lines of the ledger.
    """

    def more(lines: list[dict]) -> Iterator[dict]:
        there = {line["sha256"] for line in lines if line["event"] == REGISTERED}
        for of in hypotheses:
            if (sha256 := fingerprint(of)) not in there:
                there.add(sha256)
                yield {
                    "event": REGISTERED,
                    "name": of.name,
                    "cell": of.cell,
                    "sha256": sha256,
                    "code": code,
                }

    return _append(path, more)


def open_sealed(path: str | Path, cell: str, hypotheses: Sequence[Hypothesis], code: str) -> list[dict]:
    """Write down that the sealed split is opened for a cell, before it is; not again for the same hypotheses
    and code, which see nothing new.

    Returns:
        The lines of the ledger.

    Raises:
        SaevError: one of the hypotheses is not registered.
    """
    fingerprints = sorted(map(fingerprint, hypotheses))

    def more(lines: list[dict]) -> Iterator[dict]:
        there = {line["sha256"] for line in lines if line["event"] == REGISTERED}
        for of in hypotheses:
            if fingerprint(of) not in there:
                raise SaevError(f"{path}: {of.name} is not registered; the sealed split stays closed")
        before = [line for line in lines if line["event"] == OPENED and line["cell"] == cell]
        opening = {"event": OPENED, "cell": cell, "sha256": digest(fingerprints, {}), "code": code}
        if not any(opening.items() <= line.items() for line in before):
            yield opening | {"opening": len(before) + 1}

    return _append(path, more)


def standing(hypothesis: Hypothesis, lines: Sequence[dict]) -> Standing:
    """Confirmatory is what says so and was registered, as it is now, before the sealed split was first opened
    for its cell; all else is exploratory."""
    sha256 = fingerprint(hypothesis)
    registered = [line for line in lines if line["event"] == REGISTERED]
    mine = next((line["n"] for line in registered if line["sha256"] == sha256), None)
    opened = [line["n"] for line in lines if line["event"] == OPENED and line["cell"] == hypothesis.cell]
    first = min(opened, default=len(lines) + 1)
    if hypothesis.kind == "exploratory":
        return Standing("exploratory", "says so", mine)
    if mine is None:
        return Standing("exploratory", "not registered", None)
    if mine < first:
        return Standing("confirmatory", "registered before the sealed split was opened", mine)
    was_there = any(line["name"] == hypothesis.name and line["n"] < first for line in registered)
    how = "changed" if was_there else "registered"
    return Standing("exploratory", f"{how} after the sealed split was opened", mine)


def _append(path: str | Path, more: Callable[[list[dict]], Iterator[dict]]) -> list[dict]:
    """Add what `more` makes of the lines so far: on the disk is all of it, or nothing."""
    path = Path(path)
    with _alone(path.with_name(path.name + ".held")):
        lines = read_ledger(path)
        new = list(more(lines))
        for line in new:
            lines.append(line | {"n": len(lines) + 1, "previous": _hash(lines)})
        if new:
            write_bytes(path, b"".join(map(_encoded, lines)))
        return lines


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, once those that do have done, which takes them milliseconds. It lies beside
    a file of the user's, so nothing but the lock is taken out of it."""
    patient_until = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(folder))
                stack.callback(leave, folder)
                break
            except SaevError:
                if time.monotonic() > patient_until:
                    raise
                time.sleep(0.02)
        yield


def _encoded(line: dict) -> bytes:
    return json.dumps(line, sort_keys=True).encode() + b"\n"


def _decoded(written: bytes) -> dict | None:
    """A line; None if it was never written so."""
    try:
        line = json.loads(written)
    except (ValueError, RecursionError):
        return None
    good = isinstance(line, dict) and line.keys() == KEYS.get(str(line.get("event")), ())
    return line if good and _encoded(line) == written else None


def _hash(lines: list[dict]) -> str:
    """Of the last line."""
    return hashlib.sha256(_encoded(lines[-1])).hexdigest() if lines else ""
