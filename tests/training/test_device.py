"""The whole training on a pretend device: what it computes on, and what it brings where."""

import lightning
import torch

from saev.training.steps import SAETraining
from tests.machine.pretend import DEVICE, Factories, pretend_strategy
from tests.training.members import EVERY, train

ON_DEVICE = ("topk", "topk-k0.5", "muon", "batchtopk", "relu", "jumprelu", "gated", "pca")


def test_a_training_on_a_device_is_that_of_the_cpu(stores, tmp_path, monkeypatch):
    """With a checkpoint on the way, from which it goes on."""
    tokens, members = stores["train"].tokens(2), {name: EVERY[name] for name in ON_DEVICE}
    on_cpu = train(tokens, members, tmp_path / "cpu")
    make, original, seen = lightning.Trainer, SAETraining.training_step, set()

    def on_pretend(**options):
        return make(**{**options, "accelerator": "auto", "strategy": pretend_strategy()})

    def die_once(self, x_nd, batch_idx):
        seen.update({x_nd.device, *(tensor.device for tensor in self.state_dict().values())})
        if self.global_step == 20 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            raise MemoryError
        return original(self, x_nd, batch_idx)

    monkeypatch.setattr(lightning, "Trainer", on_pretend)
    monkeypatch.setattr(SAETraining, "training_step", die_once)
    with Factories():
        try:
            train(tokens, members, tmp_path / "device")
        except MemoryError:
            found = train(tokens, members, tmp_path / "device")
    assert seen == {DEVICE}
    for name, (sae, curve) in found.items():
        assert curve == on_cpu[name].curve
        for key, value in sae.state_dict().items():  # sums over a gradient may be taken in another order
            torch.testing.assert_close(value, on_cpu[name].sae.state_dict()[key], rtol=1e-5, atol=1e-6)
