"""A pretend device: tensors that lie on the CPU but say they are on `pretend`, and refuse to meet tensors of the CPU.

What forgets to bring a tensor to the device that it works on fails here as it would on a GPU.
Tensors without axes may meet any device, as torch's may.
"""

from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils import backend_registration

DEVICE_TYPE = "pretend"


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


class Pretend(torch.Tensor):
    """A tensor of the pretend device; `cpu_data` is where its values lie."""

    @staticmethod
    def __new__(cls, cpu_data: torch.Tensor) -> "Pretend":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            cpu_data.shape,
            dtype=cpu_data.dtype,
            device=device(),
            strides=cpu_data.stride(),
            storage_offset=cpu_data.storage_offset(),
        )

    def __init__(self, cpu_data: torch.Tensor):
        self.cpu_data = cpu_data

    def __repr__(self) -> str:
        return f"Pretend({self.cpu_data!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})


def device() -> torch.device:
    return torch.device(DEVICE_TYPE, 0)


_MOVES = {"_to_copy", "copy_", "_copy_from"}


def _run(func: Any, args: tuple, kwargs: dict) -> Any:
    """Compute on the CPU; the result is on the pretend device if an argument is, or if it is asked for."""
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    name = func.overloadpacket.__name__
    here = [t for t in tensors if isinstance(t, Pretend)]
    strangers = [t for t in tensors if not isinstance(t, Pretend) and t.dim() > 0]
    if here and strangers and name not in _MOVES:
        raise RuntimeError(f"{func} meets tensors of pretend and of the CPU, {[tuple(t.shape) for t in strangers]}")
    asked = kwargs.get("device")
    pretends = bool(here) if asked is None else torch.device(asked).type == DEVICE_TYPE
    args, kwargs = pytree.tree_map(lambda x: x.cpu_data if isinstance(x, Pretend) else x, (args, kwargs))
    ...
