import copy

import numpy as np
import pytest
import torch

from saev.errors import SaevError
from saev.evaluation import evaluate
from saev.evaluation.reconstruction import coherence
from saev.sae import SAE, ReLU, TopK
from saev.training import Training, fit
from saev.training.optimizer import optimizer

OPTIONS = Training(steps=30, batch_size=64, window=4, checkpoint_every=8, precision="fp32")
MEMBERS = [
    TopK(d_sae=48, k=6, lr=2e-3),
    ReLU(d_sae=32, l1=0.5, lr=1e-3),
    TopK(d_sae=48, k=3, prefixes=(8,), lr=5e-3),
    TopK(d_sae=32, k=4, optimizer="muon", data_init=0.8, k_start=8, aux_k=4, dead_after=300, lr=2e-3),
]


def train(stores, members, working, options=OPTIONS, **extra):
    working.mkdir(exist_ok=True)
    return fit(
        members,
        stores["train"],
        layer=2,
        options=options,
        seed=4,
        working=working,
        accelerator="cpu",
        devices=1,
        **extra,
    )


def states(saes):
    return [{key: value.numpy().tobytes() for key, value in sae.state_dict().items()} for sae in saes]


def test_members_end_where_they_would_have_ended_alone(stores, tmp_path):
    together, curve = train(stores, MEMBERS, tmp_path / "all")
    for i, member in enumerate(MEMBERS):
        (alone,), own_curve = train(stores, [member], tmp_path / str(i))
        assert states([alone]) == states([together[i]])
        assert [{**point, "sae": i} for point in own_curve] == [point for point in curve if point["sae"] == i]


def test_training_lowers_the_error_and_keeps_unit_decoders(stores, tmp_path):
    untrained = SAE(
        MEMBERS[0],
        torch.from_numpy(stores["train"].tokens(2).normalisation()[0]),
        stores["train"].tokens(2).normalisation()[1],
        seed=4,
    )
    saes, curve = train(stores, MEMBERS, tmp_path / "w")
    before, after = (metrics["nmse"] for metrics, _ in evaluate([untrained, saes[0]], stores["val"], 2))
    assert after < 0.8 * before
    assert [point["step"] for point in curve if point["sae"] == 0] == [0, 20, 29]
    for i, sae in enumerate(saes):
        torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(sae.d_sae))
        first, *_, last = (point["mse"] for point in curve if point["sae"] == i)
        assert last < first


def test_resuming_from_a_checkpoint_is_exact(stores, tmp_path):
    whole, curve = train(stores, MEMBERS, tmp_path / "whole")

    class Killed(Exception):
        pass

    def die(self, *args, **kwargs):
        if self.trainer.global_step == 19:
            raise Killed
        return original(self, *args, **kwargs)

    from saev.training.module import SAETraining

    original = SAETraining.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SAETraining, "training_step", die)
        with pytest.raises(Killed):
            train(stores, MEMBERS, tmp_path / "broken")
    resumed, resumed_curve = train(stores, MEMBERS, tmp_path / "broken")
    assert states(resumed) == states(whole)
    assert resumed_curve == curve


def test_a_loss_that_is_not_finite_names_the_step(stores, tmp_path):
    with pytest.raises(SaevError, match=r"loss of SAE 0 .* is (nan|inf) at step \d+"):
        train(
            stores,
            [TopK(d_sae=48, k=6, lr=1e30)],
            tmp_path / "w",
            Training(steps=60, batch_size=64, warmup=0, precision="fp32"),
        )


def test_learning_rate_rises_stays_and_falls_to_zero():
    from saev.training.module import SAETraining

    rate = SAETraining([], steps=100, warmup=0.1, decay=0.2, clip=1.0)._rate
    assert rate(0) == pytest.approx(0.1) and rate(9) == 1 and rate(50) == 1 and rate(80) == 1
    assert rate(90) == pytest.approx(0.5) and rate(100) == 0


def test_evaluation_is_the_formulas(stores):
    store = stores["val"]
    mean, scale = store.tokens(2).normalisation()
    sae = SAE(TopK(d_sae=40, k=5), torch.from_numpy(mean), scale)
    x = torch.from_numpy(store.acts(2)[:, 1:]).reshape(-1, 24).float()
    f, x_hat = sae.encode(x), sae(x)
    ((metrics, density),) = evaluate([sae], store, 2, batch_size=50)
    nmse = ((x - x_hat).double() ** 2).sum() / ((x.double() - x.double().mean(0)) ** 2).sum()
    assert metrics["nmse"] == pytest.approx(nmse.item(), rel=1e-6)
    assert metrics["explained_variance"] == pytest.approx(1 - nmse.item(), rel=1e-6)
    assert metrics["l0"] == pytest.approx((f > 0).sum(1).double().mean().item())
    np.testing.assert_allclose(density, (f > 0).double().mean(0).numpy())
    assert metrics["dead"] == pytest.approx((density == 0).mean()) and metrics["dense"] == pytest.approx(
        (density > 0.01).mean()
    )

    cosines = sae.W_dec @ sae.W_dec.T - 2 * torch.eye(40)
    assert metrics["coherence"] == pytest.approx(cosines.max(1).values.mean().item(), rel=1e-5)
    assert coherence(sae.W_dec, block=7) == pytest.approx(metrics["coherence"], rel=1e-5)


def test_saes_measured_together_are_measured_as_alone(stores):
    mean, scale = stores["val"].tokens(2).normalisation()
    saes = [SAE(a, torch.from_numpy(mean), scale) for a in MEMBERS]
    for sae, (metrics, density) in zip(saes, evaluate(saes, stores["val"], 2), strict=True):
        ((alone, own),) = evaluate([sae], stores["val"], 2)
        assert alone == metrics and np.array_equal(own, density)


def test_muon_steps_like_torchs_own_beside_adam(stores):
    """The two matrices by torch.optim.Muon, the rest by Adam, with the schedule and after loading a state."""
    saes = [SAE(TopK(d_sae=32, k=4, optimizer=o, lr=1e-2), torch.zeros(24), 1.0) for o in ("muon", "adam")]
    ours = optimizer(saes)
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


def test_too_few_activations_to_start_from_are_named(stores, tmp_path):
    with pytest.raises(SaevError, match="640 activations are too few to initialise sae.d_sae=700 latents"):
        train(stores, [TopK(d_sae=700, k=4, data_init=0.5)], tmp_path / "w")


def test_predicting_the_mean_has_nmse_one(stores):
    mean, scale = stores["val"].tokens(2).normalisation()
    sae = SAE(TopK(d_sae=40, k=1), torch.from_numpy(mean), scale)
    with torch.no_grad():
        sae.b_enc.fill_(-1e6)
    assert evaluate([sae], stores["val"], 2)[0][0]["nmse"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("option", "value"),
    [("steps", 0), ("batch_size", 1.5), ("warmup", 2), ("clip", 0), ("checkpoint_every", "x")],
)
def test_bad_options_are_named_and_echoed(option, value):
    with pytest.raises(SaevError, match=f"trainer.{option} must be .*{value}"):
        Training(**{"steps": 1, option: value})
