"""The machine as an option: device, precision, how many processes, and what they divide among them."""

import logging
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from saev.checks import Options, between, check_choice
from saev.errors import SaevError, first_line

if TYPE_CHECKING:  # torch is imported where it is used: composing a configuration needs none
    import torch

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Machine(Options, section="machine"):
    """Where and how to run, never what: no choice here may change a result beyond rounding."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto` takes a GPU if there is one."""
    devices: Annotated[int, between(1, 10**5)] | Literal["auto"] = "auto"
    """How many on each node, in the stages that use several; `auto`: all GPUs, or one process on the CPU."""
    num_nodes: Annotated[int, between(1, 10**5)] = 1
    """Computers that work together."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the backbone's matrix products; `auto` is bf16 where the hardware multiplies it natively."""
    parallel: Literal["batch", "latents"] = "batch"
    """What devices divide in training: each batch, or the latents of a dictionary too large for one."""
    workers: Annotated[int, between(0, 1024)] | None = None
    """Processes that load images. None: with a GPU one per core, at most 8. On a CPU a quarter of the cores:
    whatever core they take, all threads of the model's matrix products wait for (2 cores, JPEGs of 256 px:
    24.3 images/s without workers, 22.0 with one, 25.8 by the bare model)."""

    @cached_property
    def device(self) -> "torch.device":
        """This process's device. Raises SaevError if a GPU is asked for and there is none."""
        import torch

        found = torch.cuda.is_available()
        if self.accelerator == "gpu" and not found:
            raise SaevError(
                "machine.accelerator is gpu, but torch finds no CUDA device here; set machine.accelerator=cpu"
            )
        return torch.device("cuda" if found and self.accelerator != "cpu" else "cpu")

    @property
    def bf16(self) -> bool:
        """Whether matrix products run in bf16 on this device."""
        return use_bf16(self.precision, self.device)

    def autocast(self) -> AbstractContextManager:
        """Autocast to bf16 where `bf16` says so, else leave float32 alone."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @property
    def places(self) -> dict:
        """What Lightning takes. SaevError for a GPU that is not there, or for more processes than cores."""
        on_cpu = self.device.type == "cpu"
        if on_cpu and self.devices != "auto" and self.devices > cores():
            raise SaevError(
                f"machine.devices must be at most the {cores()} cores of this CPU, got {self.devices}"
            )
        # "cuda", not "gpu", which to Lightning may be Apple's: nothing here has been tried there.
        accelerator = "cpu" if on_cpu else "cuda"
        return {"accelerator": accelerator, "devices": self.devices, "num_nodes": self.num_nodes}

    @property
    def loaders(self) -> int:
        """How many processes load images."""
        if self.workers is not None:
            return self.workers
        return min(8, cores()) if self.device.type == "cuda" else cores() // 4

    def launch(self) -> None:
        """Start the other processes of a stage that uses several, and set `device` to this one's.

        Raises:
            SaevError: devices that cannot be had, in Lightning's words.
        """
        from lightning.fabric import Fabric

        hush_lightning()
        places = self.places
        try:
            fabric = Fabric(**places)
            fabric.launch()
        except Exception as error:  # Lightning's, SLURM's and torch's own have no common type
            raise self.refusal(error) from None
        vars(self)["device"] = fabric.device

    def refusal(self, error: Exception) -> SaevError:
        """What Lightning says about devices that cannot be had, as one line."""
        asked = f"accelerator={self.accelerator}, devices={self.devices}, num_nodes={self.num_nodes}"
        return SaevError(f"machine: {asked} cannot be had: {first_line(error)}")


def use_bf16(precision: str, device: "torch.device | str" = "cpu") -> bool:
    """Whether `precision` means bf16 here: `auto` takes it where the hardware multiplies it natively.

    Emulated bf16 (a CPU without AMX or AVX512-BF16) is slower than fp32, hence `auto`.
    """
    import torch

    check_choice("precision", precision, PRECISIONS)
    if precision == "auto":
        if torch.device(device).type == "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return precision == "bf16"


def hush_lightning() -> None:
    """Only warnings from Lightning, which else announces every process, and hardware that is not there."""
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
