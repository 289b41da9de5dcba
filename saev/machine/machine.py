"""Which float type the matrix products run in."""

from contextlib import AbstractContextManager

import torch

from saev.checks import check_choice

PRECISIONS = ("auto", "fp32", "bf16")


def use_bf16(precision: str, device: torch.device | str = "cpu") -> bool:
    """Whether `precision` means bf16 here: `auto` takes it where the hardware multiplies it natively.

    Emulated bf16 (a CPU without AMX or AVX512-BF16) is slower than fp32, hence `auto`.
    """
    check_choice("precision", precision, PRECISIONS)
    if precision == "auto":
        if torch.device(device).type == "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"


def autocast(precision: str, device: torch.device | str = "cpu") -> AbstractContextManager:
    """Autocast to bf16 if `precision` means that on `device`, else leave float32 alone."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=use_bf16(precision, device))


def pick_device(accelerator: str) -> str:
    """The torch device of Lightning's accelerator name: `auto` takes a GPU if there is one."""
    if accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if accelerator == "gpu" else accelerator
