"""What the slow tests of reliability found, kept for docs/reliability.md.

python -m tests.tally    # write its table anew, from benchmarks/results/reliability.json
"""

import json
from collections.abc import Mapping
from pathlib import Path

from saev.files import write_json, write_text

ROOT = Path(__file__).parents[1]
FOUND, PAGE = ROOT / "benchmarks/results/reliability.json", ROOT / "docs/reliability.md"
HEAD = "| what was done | cases | outcomes |\n| --- | --- | --- |\n"


def tally(what: str, outcomes: Mapping[str, int]) -> None:
    """Keep how often each outcome was seen, in the place of what an earlier run found."""
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    write_json(FOUND, dict(sorted((found | {what: dict(sorted(outcomes.items()))}).items())))


def table() -> str:
    """The table of the page."""
    rows = ""
    for what, outcomes in json.loads(FOUND.read_text()).items():
        ended = ", ".join(f"{n:,} {how}" for how, n in outcomes.items())
        rows += f"| {what} | {sum(outcomes.values()):,} | {ended} |\n"
    return HEAD + rows


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(HEAD)
    rows = rest.splitlines(keepends=True)
    after = next((i for i, line in enumerate(rows) if not line.startswith("|")), len(rows))
    write_text(PAGE, before + table() + "".join(rows[after:]))
