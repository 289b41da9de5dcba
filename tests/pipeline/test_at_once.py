"""Two runs of a stage at once: one does the work and the other says so, or they do it in turn.

Of extract and train, which continue from what they find: test_kill.py.
"""

import shutil
import subprocess

import pytest

from tests.pipeline.study import EVERY, TOPS, command, digest, environment
from tests.tally import tally


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(EVERY.keys() - {"extract", "train"}))
def test_two_runs_of_a_stage_at_once(stage, finished, tmp_path):
    cwd = tmp_path / "study"
    shutil.copytree(finished, cwd)
    both = [
        subprocess.Popen(
            command(stage, *EVERY[stage]), cwd=cwd, env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [(process.communicate()[1], process.returncode) for process in both]
    refused = [text.splitlines()[-1] for text, code in told if code]
    assert all(line.startswith("error: another run is at work in ") for line in refused), told
    assert len(refused) < 2
    assert digest(cwd, *TOPS) == digest(finished, *TOPS)
    assert not [*cwd.glob("data/**/*.partial"), *cwd.glob("results/**/*.partial")]
    tally(f"two runs of {stage} at once", {"one works, and the other says so in a line or follows": 1})
