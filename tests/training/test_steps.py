"""The parts of a step against torch's own and against sums by hand."""

import pytest
import torch
from torch import nn

from saev.sae import SAE, TopK
from saev.sae.objective import Objective
from saev.training import Training
from saev.training.steps import Learner, SAETraining


def learner(dead_after=100, d_sae=6):
    return Learner("a", SAE(TopK(d_sae=d_sae, k=2, dead_after=dead_after), torch.zeros(4), 1.0))


def test_learning_rate_rises_stays_and_falls_to_zero():
    rate = SAETraining({}, Training(steps=100, warmup=0.1, decay=0.2))._rate
    assert rate(0) == pytest.approx(0.1) and rate(9) == 1 and rate(50) == 1 and rate(80) == 1
    assert rate(90) == pytest.approx(0.5) and rate(100) == 0


def test_a_latent_is_dead_once_it_was_silent_for_too_many_tokens():
    one = learner(dead_after=100)
    for fires in ([0, 1], [0], [0, 2]):
        one.note(torch.isin(torch.arange(6), torch.tensor(fires)), n=40)
    assert one.idle.tolist() == [0, 80, 0, 120, 120, 120]
    assert one.dead.tolist() == [False, False, False, True, True, True]


def test_the_gradient_of_one_sae_is_clipped_as_torch_does():
    one = learner()
    generator = torch.Generator().manual_seed(0)
    for p in one.sae.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    expected = [p.grad.double() for p in one.sae.parameters()]
    norm = torch.cat([g.flatten() for g in expected]).norm()
    one.clip(0.5)
    for p, g in zip(one.sae.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad.double(), g * 0.5 / norm, rtol=1e-5, atol=1e-7)
    before = [p.grad.clone() for p in one.sae.parameters()]
    one.clip(10.0)
    assert all(torch.equal(p.grad, g) for p, g in zip(one.sae.parameters(), before, strict=True))


def test_a_point_of_the_curve_has_six_digits():
    one = learner(dead_after=1)
    one.idle.copy_(torch.tensor([0, 5, 5, 0, 0, 0]))
    result = Objective(torch.tensor(1 / 3), torch.tensor(2e-9 / 3), torch.tensor(2.0), torch.ones(6))
    assert one.point(40, result) == {
        "step": 40,
        "sae": "a",
        "loss": 0.333333,
        "mse": 6.66667e-10,
        "l0": 2.0,
        "dead": 0.333333,
    }


def test_parameters_of_a_module_are_its_members():
    saes = {name: SAE(TopK(d_sae=6, k=k), torch.zeros(4), 1.0) for name, k in (("k1.5", 1), ("k2", 2))}
    module = SAETraining(saes, Training(steps=5))
    assert {id(p) for p in module.parameters()} == {id(p) for sae in saes.values() for p in sae.parameters()}
    assert list(module.members) == ["k1.5", "k2"] and "k=2" in module.members["k2"]
    assert isinstance(module.learners, nn.ModuleList)
