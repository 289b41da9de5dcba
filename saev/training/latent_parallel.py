"""Training a dictionary that is larger than one device: its latents spread over all of them (saev.sae.kernels.shards)."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from saev.errors import SaevError
from saev.sae.kernels.shards import local_width
from saev.sae.model import SAE


class LatentParallel(DDPStrategy):
    """Lightning's launching and process group, without DDP's averaging of gradients: each process owns its parameters.

    Each keeps its own part of a checkpoint, in `<path>.<step>.<rank>`; `path` itself names the step and is
    written when all parts of that step are there.
    """

    def _setup_model(self, model: nn.Module) -> nn.Module:
        return model

    def _register_ddp_hooks(self) -> None:
        pass

    def save_checkpoint(self, checkpoint: dict, filepath: str | Path, storage_options: object = None) -> None:
        step, path = checkpoint["global_step"], Path(filepath)
        before = [
            part
            for part in path.parent.glob(f"{path.name}.*.{self.global_rank}")
            if part != self._part(path, step)
        ]
        torch.save(checkpoint, self._part(path, step))
        self.barrier()
        if self.global_rank == 0:
            partial = path.with_name("partial")
            torch.save({"global_step": step, "shards": self.world_size}, partial)
            os.replace(partial, path)
        self.barrier()
        for part in before:
            part.unlink()

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict:
        path = Path(checkpoint_path)
        whole = torch.load(path, weights_only=True)
        if whole["shards"] != self.world_size:
            raise SaevError(
                f"{path}: the run that is to be continued had its latents on {whole['shards']} devices, this one has {self.world_size}; "
                f"set machine.devices as it was, or delete the file to start again"
            )
        return torch.load(self._part(path, whole["global_step"]), map_location="cpu", weights_only=True)

    def _part(self, path: Path, step: int) -> Path:
        return path.with_name(f"{path.name}.{step}.{self.global_rank}")


@torch.no_grad()
def whole(sae: SAE) -> SAE:
    """On the first process the SAE with the latents of all shards, on the CPU; elsewhere the shard. One shard at a time is sent."""
    if sae.shards == 1:
        return sae.cpu()
    # Lightning has brought the shards back to the CPU, where NCCL does not reach.
    device = (
        torch.device("cuda", torch.cuda.current_device())
        if dist.get_backend() == "nccl"
        else torch.device("cpu")
    )
    alike = {"mean", "scale", "b_dec", *sae.architecture.extra_buffers()}
    full = (
        SAE(sae.architecture, sae.mean.cpu(), sae.scale.item(), precision=sae.precision)
        if sae.shard == 0
        else None
    )
    for name, mine in sae.state_dict().items():
        if name in alike:
            if full is not None:
                full.state_dict()[name].copy_(mine)
            continue
        for shard in range(sae.shards):
            rows = local_width(sae.architecture.d_sae, shard, sae.shards)
            sent = (mine if shard == sae.shard else mine.new_empty(rows, *mine.shape[1:])).to(device)
            dist.broadcast(sent, src=shard)
            if full is not None:
                full.state_dict()[name][shard :: sae.shards] = sent.cpu()
    return sae if full is None else full
