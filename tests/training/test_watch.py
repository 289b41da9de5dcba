"""What a training says, by a clock that each step moves on."""

import pytest

from saev.machine import progress
from saev.training.steps import SAETraining
from tests.training.members import EVERY, FEW, train


@pytest.fixture
def hours(monkeypatch):
    """Each step takes 25 s."""
    now = [0.0]
    original = SAETraining.training_step

    def step(self, *args):
        now[0] += 25
        return original(self, *args)

    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    monkeypatch.setattr(SAETraining, "training_step", step)


def test_a_log_gets_a_line_a_minute(stores, tmp_path, hours, capsys):
    found = train(stores["train"].tokens(2), {"topk": EVERY["topk"]}, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    point = found["topk"].curve[0]
    assert lines[0] == (
        f"train topk: 3 of 30 steps, 2.6 tokens/s, NMSE {point['mse']:.2g}, L0 {point['l0']:.2g}, 11 min left"
    )
    assert [line.split()[2] for line in lines] == [str(3 * i) for i in range(1, 11)]
    assert lines[-1].startswith("train topk: 30 of 30 steps") and "left" not in lines[-1]


def test_several_members_are_counted(stores, tmp_path, hours, capsys):
    train(stores["train"].tokens(2), FEW, tmp_path)
    assert capsys.readouterr().err.startswith("train topk and 1 more: 3 of 30 steps, ")


def test_short_trainings_say_nothing(stores, tmp_path, capfd):
    train(stores["train"].tokens(2), {"topk": EVERY["topk"]}, tmp_path)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
