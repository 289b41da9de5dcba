"""The same losses and gradients on a GPU as on the CPU."""

import copy

import pytest
import torch

from saev.sae.objective import objective
from tests.sae.examples import ARCHITECTURES, S, build


@pytest.mark.gpu
@pytest.mark.parametrize(("architecture", "bias"), ARCHITECTURES)
def test_gpu_equals_cpu(architecture, bias):
    sae, x = build(architecture, bias=bias, dtype=torch.float32)
    dead = torch.arange(S) % 3 == 0
    results = []
    for device in ("cpu", "cuda"):
        there = copy.deepcopy(sae).to(device)
        loss = objective(there, x.to(device), 0.25, dead=dead.to(device)).loss
        results.append(
            (loss.detach().cpu(), *(g.cpu() for g in torch.autograd.grad(loss, list(there.parameters()))))
        )
        results[-1] += (there.encode(x.to(device)).cpu(), there(x.to(device)).cpu())
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-3, atol=1e-4)
