"""How much memory there is, asked before it is taken: the system kills who takes too much, without a word."""

import os
from pathlib import Path

import torch

from saev.errors import SaevError

LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container is allowed, where we are in one."""


def memory(device: torch.device) -> int:
    """Bytes of a device, in use or not."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = LIMIT.read_text().strip() if LIMIT.is_file() else "max"
    return min(there, int(allowed)) if allowed.isdigit() else there


def check_memory(what: str, n_bytes: float, device: torch.device) -> None:
    """Raise SaevError, naming `what`, if it takes more bytes than the device has."""
    there = memory(device)
    if n_bytes > there:
        needed = f"{what} needs at least {n_bytes / 1e9:,.1f} GB of memory"
        raise SaevError(f"{needed}, and {device.type} has {there / 1e9:,.1f} GB")
