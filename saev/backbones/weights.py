"""Weights from a local file, and weights that are random on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from saev.errors import SaevError


@contextmanager
def reproducible_start() -> Iterator[None]:
    """Models built inside start from the same random weights in every process, as a control must."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def read_state_dict(path: str) -> dict[str, Tensor]:
    """Read a state dict from a `.safetensors` or torch file; never unpickles anything but tensors."""
    if not Path(path).is_file():
        raise SaevError(f"{path}: no such weights file")
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SaevError(f"{path}: cannot be read as weights ({str(error).splitlines()[0]})") from None
    if not isinstance(state, dict):
        raise SaevError(f"{path}: holds a {type(state).__name__}, expected a state dict of weights")
    for key in ("state_dict", "model"):  # the usual wrappings of training scripts
        state = state.get(key, state)
    return state
