"""A dictionary larger than one device: its latents spread over all of them (saev.sae.kernels.shards)."""

from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from saev.errors import SaevError
from saev.sae.kernels.shards import local_width
from saev.sae.model import SAE


class LatentParallel(DDPStrategy):
    """Lightning's launching and process group, without DDP's mean of the gradients.

    Each process owns its parameters, and keeps its own part of a checkpoint in `<path>.<step>.<rank>`;
    `path` itself names the step and is written when all parts of that step are there.
    """

    def _setup_model(self, model: nn.Module) -> nn.Module:
        return model

    def _register_ddp_hooks(self) -> None:
        pass

    def save_checkpoint(self, checkpoint: dict, filepath: str | Path, storage_options: object = None) -> None:
        path = Path(filepath)
        index = {"global_step": checkpoint["global_step"], "shards": self.world_size}
        part = self.parts(path, index)[self.global_rank]
        before = [old for old in path.parent.glob(f"{path.name}.*.{self.global_rank}") if old != part]
        self.checkpoint_io.save_checkpoint(checkpoint, part)
        self.barrier()
        if self.global_rank == 0:
            self.checkpoint_io.save_checkpoint(index, path)
        self.barrier()
        for old in before:
            old.unlink()

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict:
        path = Path(checkpoint_path)
        part = self.parts(path, torch.load(path, weights_only=True))[self.global_rank]
        return torch.load(part, map_location="cpu", weights_only=True)

    def parts(self, path: Path, index: dict) -> list[Path]:
        """The processes' files of a checkpoint; `index` is what `path` holds.

        Raises:
            SaevError: it was made on more or fewer devices.
        """
        if index["shards"] != self.world_size:
            raise SaevError(
                f"{path}: the run that is to be continued had its latents on {index['shards']} devices, "
                f"this one has {self.world_size}; set machine.devices as it was, or delete it to start anew"
            )
        step = index["global_step"]
        return [path.with_name(f"{path.name}.{step}.{rank}") for rank in range(self.world_size)]


@torch.no_grad()
def join_shards(sae: SAE) -> SAE:
    """On the first process the SAE with the latents of all shards, on the CPU; elsewhere the shard.

    One shard is sent at a time.
    """
    if sae.shards == 1:
        return sae.cpu()
    # Lightning has brought the shards back to the CPU, where NCCL does not reach.
    on_gpu = dist.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    undivided = {"mean", "scale", "b_dec", *sae.architecture.extra_buffers()}
    joined = None
    if sae.shard == 0:
        joined = SAE(sae.architecture, sae.mean.cpu(), sae.scale.item(), precision=sae.precision)
    for name, mine in sae.state_dict().items():
        if name in undivided:
            if joined is not None:
                joined.state_dict()[name].copy_(mine)
            continue
        for shard in range(sae.shards):
            rows = local_width(sae.architecture.d_sae, shard, sae.shards)
            sent = (mine if shard == sae.shard else mine.new_empty(rows, *mine.shape[1:])).to(device)
            dist.broadcast(sent, src=shard)
            if joined is not None:
                joined.state_dict()[name][shard :: sae.shards] = sent.cpu()
    return sae if joined is None else joined
