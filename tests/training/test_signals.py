"""A training that is interrupted says so to its caller, and can be continued."""

import os
import signal

import pytest

from saev.training.steps import SAETraining
from tests.training.members import FEW, same, train


def signalled(number, monkeypatch):
    """Send this process a signal in step 11."""
    original = SAETraining.training_step

    def step(self, *args):
        if self.global_step == 11:
            os.kill(os.getpid(), number)
        return original(self, *args)

    monkeypatch.setattr(SAETraining, "training_step", step)


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
    ids=["INT", "TERM"],
)
def test_a_signal_ends_the_training_and_leaves_a_checkpoint(
    number, raised, stores, tmp_path, monkeypatch, capsys
):
    tokens = stores["train"].tokens(2)
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch, pytest.raises(raised) as info:
        signalled(number, patch)
        train(tokens, FEW, tmp_path / "stopped")
    if raised is SystemExit:
        assert info.value.code == 128 + signal.SIGTERM
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["last.ckpt"]
    assert capsys.readouterr().err == ""  # what to say is the stage's affair
    assert same(train(tokens, FEW, tmp_path / "stopped"), train(tokens, FEW, tmp_path / "whole"))
