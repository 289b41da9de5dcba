"""Two processes record the store that one records, however slow one of them is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from saev.activations import Store
from saev.data import Mosaic
from saev.machine.machine import cores
from tests.activations.examples import make

SCRIPT = """
import sys
import time
from pathlib import Path
from saev.activations import recorder
from saev.data import Mosaic
from saev.machine import Machine, distributed
from tests.activations.examples import make, tiny

machine = Machine(accelerator="cpu", devices=2, precision="fp32", workers=0)
machine.launch()

def late(self, path):
    time.sleep(distributed.rank() == int(sys.argv[1]))  # a second of it is enough for the other to go on
    opened(self, path)

opened, recorder.Store.__init__ = recorder.Store.__init__, late
store = make(tiny(), Path("."), Mosaic(split="val", n=20, size=64), machine=machine)
Path(f"done{distributed.rank()}").write_text(str(store.n_images))
"""


@pytest.mark.skipif(cores() < 2, reason="needs two cores")
@pytest.mark.parametrize("slow", [0, 1])
def test_two_processes_record_what_one_records(slow, tiny_vit, tmp_path):
    (tmp_path / "two.py").write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, "two.py", str(slow)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert [(tmp_path / f"done{rank}").read_text() for rank in range(2)] == ["20", "20"]
    one = make(tiny_vit, tmp_path / "one", Mosaic(split="val", n=20, size=64))
    assert files(one.path) == files(Store(tmp_path / "store").path)


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file there."""
    there = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in there}
