"""Many SAEs as one LightningModule."""

from collections.abc import Sequence

import lightning
import torch
from torch import Tensor, nn

from saev.errors import SaevError
from saev.machine import distributed
from saev.sae.kernels.shards import count_shards
from saev.sae.model import SAE
from saev.sae.objective import Objective, objective
from saev.training.optimizer import optimizer

LOG_EVERY = 20
"""Steps between points of the loss curve."""


class SAETraining(lightning.LightningModule):
    """Train `saes` side by side: every batch goes to each of them.

    The loss is their sum and the optimiser one Adam with a parameter group per SAE. Adam
    works parameter by parameter and gradients are clipped per SAE, so each member ends
    exactly where it would have ended alone.

    Args:
        saes: the members; their options hold the learning rates.
        steps: length of the training.
        warmup: share of the steps over which the learning rate rises linearly from 0.
        decay: share of the steps, at the end, over which it falls linearly to 0.
        clip: largest norm of one SAE's gradient.

    Attributes:
        curve: one record {step, sae, loss, mse, l0, dead} per member and LOG_EVERY steps; part of the
            checkpoint, so that a resumed run continues it.
    """

    def __init__(self, saes: Sequence[SAE], *, steps: int, warmup: float, decay: float, clip: float):
        super().__init__()
        self.saes = nn.ModuleList(saes)
        self.steps, self.warmup, self.decay, self.clip = steps, warmup, decay, clip
        self.curve: list[dict[str, float]] = []
        for i, sae in enumerate(saes):  # tokens since each latent last fired
            self.register_buffer(f"idle_{i}", torch.zeros(sae.d_sae, dtype=torch.int64))

    @property
    def idle(self) -> list[Tensor]:
        """Per member, for how many tokens each latent has not fired, (s,) int64; of all processes."""
        return [getattr(self, f"idle_{i}") for i in range(len(self.saes))]

    def training_step(self, x_nd: Tensor, batch_idx: int) -> Tensor:
        step = self.global_step
        results = []
        for i, (sae, idle) in enumerate(zip(self.saes, self.idle, strict=True)):
            dead = idle > sae.architecture.dead_after
            result = objective(sae, x_nd, step / self.steps, step, dead)
            if not torch.isfinite(result.loss):
                raise SaevError(
                    f"training: loss of SAE {i} ({sae.architecture}) is {result.loss.item()} at step {step}"
                )
            results.append(result)
            self._track(sae, idle, result.fired, len(x_nd))
        if step % LOG_EVERY == 0 or step == self.steps - 1:
            self._record(step, results)
        return torch.stack([result.loss for result in results]).sum()

    def _record(self, step: int, results: list[Objective]) -> None:
        for i, (sae, (loss, mse, l0, _), idle) in enumerate(zip(self.saes, results, self.idle, strict=True)):
            dead = (
                count_shards((idle > sae.architecture.dead_after).sum(), sae.shards) / sae.architecture.d_sae
            )
            record = {
                "step": step,
                "sae": i,
                "loss": loss.item(),
                "mse": mse.item(),
                "l0": l0.item(),
                "dead": dead.item(),
            }
            self.curve.append({key: float(f"{value:.6g}") for key, value in record.items()})

    @staticmethod
    def _track(sae: SAE, idle: Tensor, fired: Tensor, n: int) -> None:
        if sae.shards == 1:  # else the processes see the same tokens, each with its own latents
            n, fired = n * distributed.world(), distributed.total(fired.int()) > 0
        idle.add_(n).masked_fill_(fired, 0)

    def configure_optimizers(self) -> dict:
        adam = optimizer(self.saes)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self._rate)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Multiplier of the learning rate: linear warm-up, constant, linear decay to 0."""
        rise = (step + 1) / max(self.warmup * self.steps, 1)
        fall = (self.steps - step) / max(self.decay * self.steps, 1)
        return min(1.0, rise, fall)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for sae in self.saes:
            _clip(sae, self.clip)

    def optimizer_step(self, *args, **kwargs) -> None:
        super().optimizer_step(*args, **kwargs)
        # Here and not in on_train_batch_end: callbacks run before that hook, and a
        # checkpoint would hold decoders that are not yet back at unit norm.
        for sae in self.saes:
            sae.project()

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.curve = checkpoint["curve"]


def _clip(sae: SAE, limit: float) -> None:
    """Scale the gradient of one SAE, all its shards together, to a norm of at most `limit`."""
    if sae.shards == 1:
        nn.utils.clip_grad_norm_(sae.parameters(), limit)
        return
    sae.b_dec.grad = distributed.total(
        sae.b_dec.grad
    )  # all shards have it, each with its part of the gradient
    own = nn.utils.get_total_norm([p.grad for p in sae.parameters() if p is not sae.b_dec])
    norm = (distributed.total(own.square()) + sae.b_dec.grad.square().sum()).sqrt()
    nn.utils.clip_grads_with_norm_(sae.parameters(), limit, norm)
