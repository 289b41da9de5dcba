"""Attribution against autograd through the codes, and against real edits, for every kind of token."""

import copy

import numpy as np
import pytest
import torch

from saev.data import Mosaic
from saev.data.sample import IGNORE
from saev.intervention import mean_attribution
from saev.intervention.attribution import attribution
from saev.intervention.trial import Trial
from saev.tasks import Task
from tests.activations.examples import make
from tests.intervention.examples import all_tokens, commonest, liveliest, opened


@pytest.fixture(scope="module")
def setup_of_registers(registers, tmp_path_factory):
    """An SAE on register tokens, a task on patches that nobody fitted."""
    registers, root = copy.deepcopy(registers), tmp_path_factory.mktemp("registers")
    for block in registers.blocks:  # which start so small that registers reach no patch
        block.ls1.gamma.fill_(1)
        block.ls2.gamma.fill_(1)
    val = make(registers, root, Mosaic(split="val", n=6, size=64), layers=(0,))
    weight = torch.randn(16, 24, generator=torch.Generator().manual_seed(1))
    origin = val.origin(0, ("patch",))
    task = Task((weight, torch.zeros(16)), classes=val.classes, readout="patches", origin=origin)
    return opened({"train": val, "val": val}, registers, task, ("register",), layer=0)


SETUPS = pytest.mark.parametrize("name", ["setup", "setup_of_images", "setup_of_cls", "setup_of_registers"])


def mean_logits(setup, target, x_btd):
    """(b,) of each image over the units that show the class, nan where none does; one unit at a time."""
    final_btd = setup.model.backbone.suffix(x_btd, setup.model.layer)
    logits = setup.model.task.logits(setup.model.backbone, final_btd)[..., target]
    rows = [
        torch.stack(
            [logit for logit, true in zip(*of, strict=True) if true == target] or [torch.tensor(torch.nan)]
        )
        for of in zip(logits, setup.truth_bu, strict=True)
    ]
    return torch.stack([row.mean() for row in rows])


@SETUPS
def test_attribution_is_the_gradient_of_dense_codes_times_these(name, request):
    setup = request.getfixturevalue(name)
    sae, images = setup.sae, torch.from_numpy(setup.model.images)
    x_btd = all_tokens(setup.tokens)[images]
    before = torch.from_numpy(setup.val.csr.toarray()).reshape(-1, setup.tokens.per_image, sae.d_sae)[images]
    f_bts = before.clone().requires_grad_()
    everything = setup.model.x_btd.clone()
    everything[:, torch.from_numpy(setup.tokens.positions)] = x_btd + (
        sae.decode(f_bts.flatten(0, 1)) - sae.decode(before.flatten(0, 1))
    ).reshape(x_btd.shape)
    for target in commonest(setup, 2):
        logit_b = mean_logits(setup, target, everything)
        (gradient,) = torch.autograd.grad(logit_b[~logit_b.isnan()].sum(), f_bts, retain_graph=True)
        expected = (gradient * before).sum(1).numpy()
        expected[logit_b.isnan().numpy()] = np.nan
        found = attribution(setup, target)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        assert np.nanmax(np.abs(found)) > 1e-4
        shows = ~np.isnan(expected).any(1)
        np.testing.assert_allclose(
            mean_attribution(setup, target), expected[shows].mean(0), rtol=1e-3, atol=1e-5
        )


@SETUPS
def test_attribution_is_the_slope_of_a_real_edit(name, request):
    """Codes scaled by 1 +- a little, by central differences."""
    setup, step = request.getfixturevalue(name), 0.02
    (target,) = commonest(setup, 1)
    found, everything = attribution(setup, target), setup.model.x_btd
    for latent in liveliest(setup, 4):
        trial = Trial(setup, target, (latent,), seed=0)
        up, down = (
            mean_logits(
                setup, target, everything + setup.whole(trial.edit((latent,), "scale", factor).change())
            )
            for factor in (1 + step, 1 - step)
        )
        slope = ((up - down) / (2 * step)).numpy()
        np.testing.assert_allclose(found[:, latent], slope, rtol=0.02, atol=2e-4)


def test_a_class_that_no_image_shows_has_none(setup_of_images):
    shown = setup_of_images.truth_bu.unique().tolist()
    absent = next(c for c in range(16) if c not in (*shown, IGNORE))
    assert mean_attribution(setup_of_images, absent) is None
    assert np.isnan(attribution(setup_of_images, absent)).all()


def test_tokens_computed_from_pixels_have_a_gradient_too(tiny_vit, task, setup):
    """They come out of inference mode, whose tensors autograd refuses."""
    from dataclasses import replace

    from saev.intervention.attribution import logit_gradient
    from saev.tasks import Continuation
    from tests.activations.examples import CPU

    pixels = torch.randint(0, 256, (2, *tiny_vit.preprocess.size, 3), dtype=torch.uint8)
    fresh = replace(setup, model=Continuation.from_pixels(tiny_vit, task, 1, pixels, CPU))
    gradient = logit_gradient(fresh, 3, torch.tensor([0, 1]), torch.ones(2, 16, dtype=bool))
    assert gradient.shape == (2, 16, 24) and gradient.abs().max() > 0
