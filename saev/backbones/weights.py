"""Weights from a local file."""

from pathlib import Path

import torch
from torch import Tensor

from saev.errors import SaevError


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
    for key in ("state_dict", "model"):  # the usual wrappings of training scripts
        state = state.get(key, state)
    return state
