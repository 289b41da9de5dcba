"""The machine as an option: what it refuses, which device and precision it means, what it starts."""

import subprocess
import sys

import pytest
import torch
from lightning import fabric

from saev.errors import SaevError
from saev.machine import Machine
from saev.machine import machine as module
from saev.machine.machine import use_bf16


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [
        ("accelerator", "tpu", "one of auto, cpu, gpu"),
        ("accelerator", None, "one of auto, cpu, gpu"),
        ("devices", 0, r"an integer in \[1, 100000\]"),
        ("devices", True, r"an integer in \[1, 100000\]"),
        ("devices", None, r"an integer in \[1, 100000\]"),
        ("num_nodes", 1.5, r"an integer in \[1, 100000\]"),
        ("precision", "fp16", "one of auto, fp32, bf16"),
        ("parallel", "tokens", "one of batch, latents"),
    ],
)
def test_bad_options_are_named_and_echoed(option, value, right):
    with pytest.raises(SaevError, match=rf"machine\.{option} must be {right}.*, got {value!r}$"):
        Machine(**{option: value})


def test_a_gpu_is_taken_where_there_is_one_and_refused_where_there_is_none(monkeypatch):
    for found, devices in ((True, ["cuda", "cpu", "cuda"]), (False, ["cpu", "cpu", None])):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        for accelerator, device in zip(("auto", "cpu", "gpu"), devices, strict=True):
            machine = Machine(accelerator=accelerator)
            if device is None:
                with pytest.raises(
                    SaevError, match=r"machine\.accelerator is gpu, but .* no CUDA device here"
                ):
                    _ = machine.device
            else:
                assert machine.device == torch.device(device)
                assert machine.places["accelerator"] == device


def test_precision_is_what_matrix_products_run_in():
    x = torch.randn(4, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        machine = Machine(accelerator="cpu", precision=precision)
        with machine.autocast():
            assert (x @ x).dtype == dtype
        assert machine.bf16 == (dtype == torch.bfloat16)


def test_auto_precision_asks_the_hardware(monkeypatch):
    for native in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        assert use_bf16("auto") == Machine(accelerator="cpu").bf16 == native
    with pytest.raises(SaevError, match="precision must be one of auto, fp32, bf16, got 'half'"):
        use_bf16("half")


def test_more_processes_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)
    assert Machine(accelerator="cpu", devices=2).places["devices"] == 2
    with pytest.raises(SaevError, match=r"machine\.devices must be at most the 2 cores of this CPU, got 99"):
        _ = Machine(accelerator="cpu", devices=99).places


@pytest.mark.parametrize("message", ["srun was not used\nRead the manual", ""])
def test_what_lightning_says_is_one_line(monkeypatch, message):
    def refuse(**_):
        raise RuntimeError(message)

    monkeypatch.setattr(fabric, "Fabric", refuse)
    with pytest.raises(
        SaevError, match=r"^machine: accelerator=cpu, devices=1, num_nodes=4 cannot be had: "
    ) as raised:
        Machine(accelerator="cpu", devices=1, num_nodes=4).launch()
    assert str(raised.value).endswith(message.partition("\n")[0] or "RuntimeError")


def test_launch_sets_the_device_of_this_process():
    machine = Machine(accelerator="cpu", devices=1)
    machine.launch()
    assert machine.device == torch.device("cpu")


def test_two_processes_are_launched_and_know_their_places(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "from pathlib import Path\n"
        "from saev.machine import Machine, distributed\n"
        "machine = Machine(accelerator='cpu', devices=2)\n"
        "machine.launch()\n"
        "Path(f'rank{distributed.rank()}').write_text(f'{distributed.world()} {machine.device}')\n"
        "distributed.barrier()\n"
    )
    result = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert [(tmp_path / f"rank{r}").read_text() for r in range(2)] == ["2 cpu", "2 cpu"]
    assert "---" not in result.stderr and "GLOBAL_RANK" not in result.stderr  # Lightning announces nothing


def test_the_options_are_made_without_torch():
    """A stage composes its configuration, and reports what is wrong in it, before torch is loaded."""
    code = "import sys; from saev.machine import Machine, track; Machine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
