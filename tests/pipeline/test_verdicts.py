"""What the stage verdicts makes of evidence and of a ledger that are not as they were written."""

import json
from pathlib import Path

import pytest

from saev.hypotheses import fingerprint, read_hypotheses, register
from tests.pipeline.study import CELL, digest, here, write_grid

SUMS = {
    "edit_g2": [[0.5, 1.0], [0.25, 1.0]],
    "controls_rg2": [[[0.0, 1.0], [0.0, 1.0]]],
    "others_g2": [[0.0, 1.0], [0.1, 1.0]],
}


@pytest.fixture
def tested(tmp_path) -> Path:
    """A study of which one hypothesis was registered and tested, and its verdict."""
    write_grid(tmp_path)
    hypotheses = read_hypotheses(tmp_path / "conf/hypothesis")
    register(tmp_path / "results/ledger.jsonl", hypotheses, "c0ffee")
    write(tmp_path, SUMS)
    here(tmp_path, "verdicts")
    return tmp_path


def write(cwd: Path, evidence: object) -> None:
    (of,) = read_hypotheses(cwd / "conf/hypothesis")
    file = cwd / f"results/hypotheses/{CELL}/evidence.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    record = {"sha256": fingerprint(of), "note": None, "evidence": evidence}
    file.write_text(json.dumps({"tested": {of.name: record}}))


def refusal(cwd: Path) -> str:
    """The one line that the stage ends in, which leaves the verdicts as they were."""
    before = digest(cwd, "results/verdicts")
    with pytest.raises(SystemExit) as ended:
        here(cwd, "verdicts")
    assert digest(cwd, "results/verdicts") == before and "\n" not in str(ended.value)
    return str(ended.value)


@pytest.mark.parametrize(
    "evidence",
    [
        [],
        {},
        SUMS | {"edit_g2": 0},
        SUMS | {"edit_g2": [[0.5, 1.0], [0.25]]},
        SUMS | {"edit_g2": [[0.5, 2.0], [0.25, 1.0]]},
        SUMS | {"edit_g2": [["a", 1.0], [0.25, 1.0]]},
        SUMS | {"controls_rg2": []},
        SUMS | {"controls_rg2": [[[0.0, 1.0]]]},
        SUMS | {"others_g2": None},
        SUMS | {"others_g2": [["1"]]},
        SUMS | {"others_g2": [[None, 1.0]]},
        SUMS | {"more": 1},
    ],
    ids=range(12),
)
def test_evidence_that_was_changed_is_told_in_a_line(tested, evidence):
    write(tested, evidence)
    assert refusal(tested).endswith(
        f"{CELL}/evidence.json: not of noise as it is now; run the hypotheses stage again"
    )


@pytest.mark.parametrize("left", [None, b"", b"{}\n", b"torn"])
def test_a_ledger_that_was_cut_or_changed_is_told_in_a_line(tested, left):
    ledger = tested / "results/ledger.jsonl"
    ledger.unlink() if left is None else ledger.write_bytes(left)
    assert "results/ledger.jsonl: l" in refusal(tested)
