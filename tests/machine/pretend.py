"""A pretend device: tensors whose values lie on the CPU, but which refuse to meet the CPU's tensors.

Code that forgets to bring a tensor to its device fails here as it would on a GPU. (Tensors without axes
may meet any device, as torch's may.) For as long as `Factories()` is entered, torch.zeros and the like
understand `device=DEVICE` too; operations need no context.
"""

from typing import Any

import torch
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils import backend_registration

_MOVES = {"_to_copy", "copy_", "_copy_from"}
_FACTORIES = {
    getattr(torch, name)
    for name in ("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "tensor", "zeros")
} | {
    getattr(torch, name)
    for name in ("empty_like", "full_like", "ones_like", "rand", "randint", "randn", "randperm", "zeros_like")
}


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: object = None) -> torch.Tensor:
        return torch.zeros(0, dtype=torch.uint8)

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        pass


backend_registration._setup_privateuseone_for_python_backend("pretend", backend_module=_Backend())
DEVICE = torch.device("pretend:0")


class Pretend(torch.Tensor):
    """A tensor of the pretend device; `values` is the CPU's tensor behind it."""

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "Pretend":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            dtype=values.dtype,
            device=DEVICE,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
        )

    def __init__(self, values: torch.Tensor):
        self.values_ = values

    def __repr__(self, **_: Any) -> str:
        return f"Pretend({self.values_})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved as what it is for whoever has no such device."""
        return self.values_.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(op, args, kwargs or {})


class Factories(TorchFunctionMode):
    """Within, torch's factories make what is asked for on the pretend device."""

    def __torch_function__(self, op: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if op in _FACTORIES and _is_pretend(kwargs.get("device")):
            return op(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return op(*args, **kwargs)


class _PretendAccelerator(Accelerator):
    """One pretend device."""

    def setup_device(self, device: torch.device) -> None:
        pass

    def teardown(self) -> None:
        pass

    def get_device_stats(self, device: object) -> dict:
        return {}

    @staticmethod
    def parse_devices(devices: object) -> list[int]:
        return [0]

    @staticmethod
    def get_parallel_devices(devices: object) -> list[torch.device]:
        return [DEVICE]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "pretend"


def pretend_strategy() -> SingleDeviceStrategy:
    """What makes Lightning's trainer work on the pretend device."""
    return SingleDeviceStrategy(device=DEVICE, accelerator=_PretendAccelerator())


def _is_pretend(device: object) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _run(op: Any, args: tuple, kwargs: dict) -> Any:
    """Compute on the CPU; the result is pretend if an argument is, or if it is asked for."""
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = any(isinstance(tensor, Pretend) for tensor in tensors)
    strange = [tuple(t.shape) for t in tensors if not isinstance(t, Pretend) and t.dim() > 0]
    name = op.overloadpacket.__name__
    if here and strange and name not in _MOVES:
        raise RuntimeError(f"{op}: tensors of the pretend device meet the CPU's, {strange}")
    asked = kwargs.get("device")
    pretends = here if asked is None else _is_pretend(asked)
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    behind = pytree.tree_map(lambda x: x.values_ if isinstance(x, Pretend) else x, (args, kwargs))
    out = op(*behind[0], **behind[1])
    if name.endswith("_") and isinstance(args[0], Pretend):
        if args[0].shape != args[0].values_.shape:  # squeeze_ and its like, of which matmul is made
            args[0].data = Pretend(args[0].values_)
        return args[0]
    return pytree.tree_map(lambda x: Pretend(x) if isinstance(x, torch.Tensor) and pretends else x, out)


def _allocate(op: Any) -> Any:
    def allocate(*args: Any, **kwargs: Any) -> Pretend:
        return Pretend(op(*args, **{**kwargs, "device": torch.device("cpu"), "pin_memory": None}))

    return allocate


_ATEN = torch.library.Library("aten", "IMPL")
_ATEN.impl("empty.memory_format", _allocate(torch.ops.aten.empty.memory_format), "PrivateUse1")
_ATEN.impl("empty_strided", _allocate(torch.ops.aten.empty_strided.default), "PrivateUse1")
_OTHERS = torch.library.Library("_", "IMPL")
_OTHERS.fallback(lambda op, *args, **kwargs: _run(op, args, kwargs), "PrivateUse1")
