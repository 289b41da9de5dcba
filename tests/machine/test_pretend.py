"""The pretend device itself: it computes what the CPU does, and refuses what a GPU would refuse."""

import pytest
import torch

from tests.machine.pretend import DEVICE, Factories


def test_it_computes_what_the_cpu_does():
    a, b = torch.randn(4, 3), torch.randn(3, 2)
    here = a.to(DEVICE).requires_grad_()
    loss = (here @ b.to(DEVICE)).relu().square().sum() * torch.tensor(0.5)  # without axes: of any device
    loss.backward()
    there = a.clone().requires_grad_()
    ((there @ b).relu().square().sum() * 0.5).backward()
    assert here.device == here.grad.device == DEVICE
    torch.testing.assert_close(here.grad.cpu(), there.grad, rtol=0, atol=0)
    row, matrix = torch.randn(3).to(DEVICE), b.to(DEVICE).requires_grad_()
    product = row @ matrix  # a matrix product whose result is squeezed in place
    product.sum().backward()
    assert product.shape == (2,) and product.cpu().shape == (2,) and matrix.grad.shape == (3, 2)
    with Factories():
        assert torch.arange(3, device=DEVICE).device == DEVICE
    assert torch.zeros(3, device=DEVICE).cpu().tolist() == [0, 0, 0]


def test_it_refuses_the_cpus_tensors():
    x = torch.randn(4, 3).to(DEVICE)
    for wrong in (lambda: x + torch.ones(4, 3), lambda: x @ torch.ones(3, 2), lambda: x.add_(torch.ones(3))):
        with pytest.raises(RuntimeError, match="tensors of the pretend device meet the CPU's"):
            wrong()
    # Here a GPU would copy the indices, at every use.
    with pytest.raises(RuntimeError, match="meet the CPU's"):
        x[torch.tensor([0, 1])]
