"""This process among those that work together: under torchrun, Lightning Fabric or Trainer, or alone."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from saev.errors import SaevError

if TYPE_CHECKING:  # torch itself is imported where it is used
    from torch import Tensor


def rank() -> int:
    """Number of this process, 0 when alone."""
    import torch.distributed as dist

    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """Number of processes, 1 when alone."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the first process, by what its launcher set, as the others are told before they form a
    group: torchrun and Lightning (RANK, LOCAL_RANK, NODE_RANK), SLURM (SLURM_PROCID)."""
    numbers = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return rank() == 0 and all(os.environ.get(number, "0") == "0" for number in numbers)


def barrier() -> None:
    """Wait until every process is here."""
    if world() > 1:
        import torch.distributed as dist

        dist.barrier()


def by_the_first(work: Callable[[], object]) -> None:
    """Let the first process do something that the others wait for. If it fails with a SaevError, or an
    OSError such as of a full disk, so do all."""
    error = failed = None
    if rank() == 0:
        try:
            work()
        except (SaevError, OSError) as raised:
            error, failed = str(raised), raised
    if world() > 1:
        import torch.distributed as dist

        box = [error]
        dist.broadcast_object_list(box, src=0)
        (error,) = box
    if error is not None:
        raise failed or SaevError(error)


def mean(value: "Tensor") -> "Tensor":
    """The mean of a tensor over all processes; itself when alone. Carries no gradient."""
    return total(value) / world()


def total(value: "Tensor") -> "Tensor":
    """The sum of a tensor over all processes; itself when alone. Carries no gradient."""
    if world() == 1:
        return value.detach()
    import torch.distributed as dist

    out = value.detach().clone()
    dist.all_reduce(out)
    return out


def gather(values: "Tensor") -> "Tensor":
    """The vectors (m,) of all processes, of any lengths, one after the other; itself when alone."""
    if world() == 1:
        return values
    import torch
    import torch.distributed as dist

    lengths = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(world())]
    dist.all_gather(lengths, torch.tensor([len(values)], device=values.device))
    longest = max(int(length) for length in lengths)
    parts = [values.new_empty(longest) for _ in lengths]
    dist.all_gather(parts, torch.nn.functional.pad(values, (0, longest - len(values))))
    return torch.cat([part[: int(length)] for part, length in zip(parts, lengths, strict=True)])
