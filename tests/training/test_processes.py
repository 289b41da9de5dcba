"""Two processes train what one trains, dividing each batch or the latents, and go on after they died."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from saev.errors import SaevError
from saev.machine import Machine
from saev.machine.machine import cores
from saev.sae import BatchTopK, ReLU, load_sae
from tests.training.members import train

MEMBERS = {
    "batchtopk": BatchTopK(d_sae=96, k=2, prefixes=(16,), aux_k=4, dead_after=128),
    "relu": ReLU(d_sae=32, l1=0.5, unit_norm=False),
}

SCRIPT = """
import sys
from pathlib import Path
from saev.activations import Store
from saev.machine import Machine
from saev.sae import save_sae
from saev.training.steps import SAETraining
from tests.training.members import train
from tests.training.test_processes import MEMBERS

def step(self, *args):
    if self.global_step == int(sys.argv[3]):
        sys.exit(7)
    return original(self, *args)

original, SAETraining.training_step = SAETraining.training_step, step
machine = Machine(accelerator="cpu", devices=2, parallel=sys.argv[2])
found = train(Store(sys.argv[1]).tokens(2), MEMBERS, Path("working"), machine=machine)
for name, fitted in found.items():
    save_sae(fitted.sae, name, curve=fitted.curve)
"""


def two(cwd, store, parallel, die_at=-1):
    """Run the script in two processes."""
    (cwd / "two.py").write_text(SCRIPT)
    command = [sys.executable, "two.py", str(store.path), parallel, str(die_at)]
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, cwd=cwd, env=paths, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(cores() < 2, reason="needs two cores")
@pytest.mark.parametrize("parallel", ["batch", "latents"])
def test_two_processes_train_what_one_trains(parallel, stores, tmp_path):
    store = stores["train"]
    one = train(store.tokens(2), MEMBERS, tmp_path / "one")
    assert any(point["dead"] > 0 for point in one["batchtopk"].curve)  # there is something for AuxK to do
    died = two(tmp_path, store, parallel, die_at=20)
    assert died.returncode != 0 and not (tmp_path / "relu").exists()
    result = two(tmp_path, store, parallel)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "train: continues at step 16 of 30 from working/last.ckpt\n"
    for name, (sae, curve) in one.items():
        found = load_sae(tmp_path / name)
        assert found.origin == sae.origin == store.tokens(2).origin
        theirs = json.loads((tmp_path / name / "config.json").read_text())["curve"]
        for point, expected in zip(theirs, curve, strict=True):
            assert point.pop("sae") == expected.pop("sae") == name
            assert point == pytest.approx(expected, rel=2e-3)
        for key, value in sae.state_dict().items():
            torch.testing.assert_close(
                found.state_dict()[key], value, rtol=2e-3, atol=2e-4, msg=f"{name} {key}"
            )
    if parallel == "latents":
        assert len(list((tmp_path / "working").iterdir())) == 3  # the index, and a part of each process
        alone = Machine(accelerator="cpu", devices=1, parallel="latents")
        with pytest.raises(
            SaevError, match="had its latents on 2 devices, this one has 1; set machine.devices"
        ):
            train(store.tokens(2), MEMBERS, tmp_path / "working", machine=alone)
