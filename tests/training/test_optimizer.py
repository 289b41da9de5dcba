"""Adam and Muon under one schedule, against torch's own."""

import copy

import torch

from saev.sae import SAE, TopK
from saev.training.optimizer import adam_and_muon


def test_muon_steps_like_torchs_own_beside_adam():
    """The two matrices by torch.optim.Muon, the rest by Adam, with the schedule and after loading a state."""
    saes = [SAE(TopK(d_sae=32, k=4, optimizer=o, lr=1e-2), torch.zeros(24), 1.0) for o in ("muon", "adam")]
    ours = adam_and_muon(saes)
    schedule = torch.optim.lr_scheduler.LambdaLR(ours, lambda step: 1 / (1 + step))
    generator = torch.Generator().manual_seed(0)
    copies = [[p.detach().clone().requires_grad_() for p in sae.parameters()] for sae in saes]
    names = [name for name, _ in saes[0].named_parameters()]
    matrices = [p for p, name in zip(copies[0], names, strict=True) if name in ("W_dec", "W_enc_sd")]
    rest = [p for p, name in zip(copies[0], names, strict=True) if name not in ("W_dec", "W_enc_sd")]
    muon = torch.optim.Muon(matrices, lr=1e-2, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    theirs = [muon, torch.optim.Adam(rest + copies[1], lr=1e-2)]
    for step in range(3):
        if step == 1:
            ours.load_state_dict(copy.deepcopy(ours.state_dict()))
        for part in theirs:
            part.param_groups[0]["lr"] = 1e-2 / (1 + step)
        for sae, own in zip(saes, copies, strict=True):
            for p, q in zip(sae.parameters(), own, strict=True):
                # Of p's strides, as autograd makes them: fused Adam goes wrong, silently, where they differ.
                p.grad = torch.empty_like(p).normal_(generator=generator)
                q.grad = p.grad.clone()
        for part in (ours, *theirs):
            part.step()
        schedule.step()
    for sae, own in zip(saes, copies, strict=True):
        for p, q in zip(sae.parameters(), own, strict=True):
            torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-5, atol=1e-7)
