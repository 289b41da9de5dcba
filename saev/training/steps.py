"""The steps of a training: many SAEs as one LightningModule."""

from collections.abc import Mapping, Sequence
from typing import cast

import lightning
import torch
from torch import Tensor, nn

from saev.errors import SaevError
from saev.machine import distributed
from saev.sae.kernels.shards import count_shards
from saev.sae.model import SAE
from saev.sae.objective import Objective, objective
from saev.sae.trained import trained
from saev.training.optimizer import adam_and_muon
from saev.training.options import Training

LOG_EVERY = 20
"""Steps between points of the loss curve."""


class Learner(nn.Module):
    """One member: its SAE, and for how long each latent has been silent.

    Attributes:
        idle: (s,) int64, tokens since each latent last fired, those of all processes.
    """

    idle: Tensor

    def __init__(self, name: str, sae: SAE):
        super().__init__()
        self.name, self.sae = name, sae
        self.register_buffer("idle", torch.zeros(len(sae.W_dec), dtype=torch.int64))

    @property
    def dead(self) -> Tensor:
        """(s,) bool: which latents have been silent for more than `dead_after` tokens."""
        return self.idle > trained(self.sae).dead_after

    def note(self, fired_s: Tensor, n: int) -> None:
        """Tell which latents fired on the step's n tokens of this process."""
        if self.sae.shards == 1:  # else the processes see the same tokens, each with its own latents
            n, fired_s = n * distributed.world(), distributed.total(fired_s.int()) > 0
        self.idle.add_(n).masked_fill_(fired_s, 0)

    def clip(self, limit: float) -> None:
        """Scale the gradient of this SAE, all its shards together, to a norm of at most `limit`."""
        sae = self.sae
        if sae.shards == 1:
            nn.utils.clip_grad_norm_(sae.parameters(), limit)
            return
        shared = sae.b_dec.grad
        assert shared is not None  # b_dec is never frozen
        # All shards have b_dec, each with its part of the gradient.
        sae.b_dec.grad = shared = distributed.total(shared)
        own = [p.grad for p in sae.parameters() if p.grad is not None and p is not sae.b_dec]
        norm = (distributed.total(nn.utils.get_total_norm(own).square()) + shared.square().sum()).sqrt()
        nn.utils.clip_grads_with_norm_(sae.parameters(), limit, norm)

    def point(self, step: int, result: Objective) -> dict[str, float | str]:
        """A point of its loss curve, over the tokens of all processes."""
        values = {key: distributed.mean(getattr(result, key)) for key in ("loss", "mse", "l0")}
        n_dead = count_shards(self.dead.sum(), self.sae.shards)
        values["dead"] = n_dead / self.sae.architecture.d_sae
        rounded = {key: float(f"{value.item():.6g}") for key, value in values.items()}
        return {"step": step, "sae": self.name, **rounded}


class SAETraining(lightning.LightningModule):
    """Train SAEs side by side: every batch goes to each of them.

    One step, in the order of time:

        loss        training_step: the sum of the members' objectives on the batch
        backward    Lightning's
        clip        on_before_optimizer_step: each member's gradient to a norm of at most `clip`
        step        optimizer_step: one Adam, and one Muon for those that want it
        project     optimizer_step: decoder rows back to unit norm; then the learning rate of the next step
        checkpoint  saev.training.checkpoint.Resumable, after the batch

    The optimisers work parameter by parameter (Muon matrix by matrix), and nothing else is shared, so each
    member ends, to the last bit, where it would have ended alone.

    Attributes:
        curves: per member one record {step, sae, loss, mse, l0, dead} every LOG_EVERY steps and at the last;
            part of the checkpoint, so that a resumed run continues it.

    Raises:
        SaevError: a loss that is not finite; the line names the member and the step.
    """

    def __init__(self, saes: Mapping[str, SAE], options: Training):
        super().__init__()
        learners = nn.ModuleList(Learner(name, sae) for name, sae in saes.items())
        self.learners = cast(Sequence[Learner], learners)  # of modules of any kind, to torch
        self.options = options
        self.curves: dict[str, list[dict]] = {name: [] for name in saes}

    @property
    def members(self) -> dict[str, str]:
        """Name and options of every member: what a checkpoint must be of to be continued."""
        return {learner.name: str(learner.sae.architecture) for learner in self.learners}

    def training_step(self, x_nd: Tensor, batch_idx: int) -> Tensor:
        step, steps = self.global_step, self.options.n_steps
        losses = []
        for learner in self.learners:
            result = objective(learner.sae, x_nd, step / steps, step, learner.dead)
            if not torch.isfinite(result.loss):
                raise SaevError(f"training: loss of {learner.name} is {result.loss.item()} at step {step}")
            learner.note(result.fired, len(x_nd))
            if step % LOG_EVERY == 0 or step == steps - 1:
                self.curves[learner.name].append(learner.point(step, result))
            losses.append(result.loss)
        return torch.stack(losses).sum()

    def configure_optimizers(self) -> dict:
        optimizer = adam_and_muon([learner.sae for learner in self.learners])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Multiplier of the learning rate: linear warm-up, constant, linear decay to 0."""
        steps = self.options.n_steps
        rise = (step + 1) / max(self.options.warmup * steps, 1)
        fall = (steps - step) / max(self.options.decay * steps, 1)
        return min(1.0, rise, fall)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for learner in self.learners:
            learner.clip(self.options.clip)

    def optimizer_step(self, *args, **kwargs) -> None:
        super().optimizer_step(*args, **kwargs)
        # Here and not in on_train_batch_end: callbacks run before that hook, and a
        # checkpoint would hold decoders that are not yet back at unit norm.
        for learner in self.learners:
            learner.sae.project()

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["members"], checkpoint["curves"] = self.members, self.curves

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.curves = checkpoint["curves"]
