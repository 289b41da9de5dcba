"""What cannot fit is refused before it is tried."""

from pathlib import Path

import pytest
import torch

from saev.errors import SaevError
from saev.machine import memory
from saev.machine.memory import check_memory

CPU = torch.device("cpu")


def test_the_memory_is_the_systems_or_the_containers_if_that_is_less(tmp_path, monkeypatch):
    (total,) = [
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    ]
    monkeypatch.setattr(memory, "LIMIT", tmp_path / "none")
    assert memory.memory(CPU) == pytest.approx(1024 * int(total.split()[1]), rel=0.01)
    for text, allowed in (("max\n", memory.memory(CPU)), ("1000000\n", 1_000_000)):
        (tmp_path / "limit").write_text(text)
        monkeypatch.setattr(memory, "LIMIT", tmp_path / "limit")
        assert memory.memory(CPU) == allowed


def test_what_does_not_fit_is_named_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(memory, "memory", lambda device: 2_000_000_000)
    check_memory("sae.d_sae=8", 2e9, CPU)
    with pytest.raises(SaevError, match=r"^sae.d_sae=9 needs at least 3.0 GB of memory, and cpu has 2.0 GB$"):
        check_memory("sae.d_sae=9", 3e9, CPU)
