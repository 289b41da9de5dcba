"""Weights from a local file, and weights that are random on purpose."""

import warnings
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


def read_weights(path: str) -> dict[str, Tensor]:
    """Read a state dict from a `.safetensors` or torch file; never unpickles anything but tensors.

    Raises:
        SaevError: no such file, a damaged one, one of more than tensors, or values that are not finite.
    """
    if not Path(path).is_file():
        raise SaevError(f"{path}: no such weights file; backbone.checkpoint must name one, got {path!r}")
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # on pickles of other protocols than torch's
                state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # whose text, torch's at least, advises to run the pickle
        raise SaevError(
            f"{path}: cannot be read as weights: it is damaged, or a pickle of more than tensors, "
            "which is never run; give a state dict, best as .safetensors"
        ) from None
    for key in ("state_dict", "model"):  # the usual wrappings of training scripts
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise SaevError(f"{path}: holds no state dict, which is a dict of tensors by name")
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        raise SaevError(f"{path}: holds weights that are not finite, e.g. {broken[0]!r}")
    return state
