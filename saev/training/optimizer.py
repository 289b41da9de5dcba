"""The optimiser of all members."""

from collections.abc import Callable, Sequence

import torch
from torch.optim import Adam, Muon, Optimizer

from saev.sae.model import SAE
from saev.sae.trained import trained


def adam_and_muon(saes: Sequence[SAE]) -> Optimizer:
    """One Adam with a parameter group per SAE; beside it one Muon, for the two matrices of SAEs that want it.

    Muon (Jordan et al. 2024) takes the momentum's nearest orthogonal matrix as its step. Here that step is
    scaled to the size of Adam's (Liu et al. 2025, arXiv 2502.16982, section 2.2), so that one learning rate
    serves both.
    """
    adam, muon = [], []
    for sae in saes:
        architecture = trained(sae)
        learnt = [p for p in sae.parameters() if p.requires_grad]  # not what is frozen
        matrices = [sae.W_enc_sd, sae.W_dec] if architecture.optimizer == "muon" else []
        matrices = [matrix for matrix in matrices if matrix.requires_grad]
        rest = [p for p in learnt if all(p is not matrix for matrix in matrices)]
        adam.append({"params": rest, "lr": architecture.lr})
        if matrices:
            muon.append({"params": matrices, "lr": architecture.lr})
    parts: list[Optimizer] = [Adam(adam, fused=True)]
    if muon:
        parts.append(Muon(muon, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
    return parts[0] if len(parts) == 1 else _Together(parts)


class _Together(Optimizer):
    """Several optimisers that look like one to Lightning and to the schedule."""

    def __init__(self, parts: list[Optimizer]):
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # A part has made new groups; the schedule must go on changing those that are in use.
        self.param_groups = [group for part in self.parts for group in part.param_groups]
