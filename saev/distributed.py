"""This process's place among those that work together: under torchrun, Lightning Fabric or Trainer, or alone."""


def rank() -> int:
    """Number of this process, 0 when alone."""
    import torch.distributed as dist

    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """Number of processes, 1 when alone."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every process is here."""
    if world() > 1:
        import torch.distributed as dist

        dist.barrier()
