"""The model from a layer on against the whole model, changed by a hook in its midst."""

import copy

import numpy as np
import pytest
import torch

from saev.data import Mosaic
from saev.machine import Machine
from saev.tasks import Continuation, Task
from saev.tasks.continuation import BATCH
from tests.activations.examples import CPU, make

LAYER, N = 0, BATCH + 3
KINDS = {"cls": (0, 1), "register": (1, 5), "patch": (5, 29), "every": (0, 29)}


@pytest.fixture(scope="module")
def backbone(registers):
    """With lively blocks: DINOv2's begin with next to no effect, and every token would keep to itself."""
    lively = copy.deepcopy(registers)
    for block in lively.blocks:
        block.ls1.gamma.fill_(20), block.ls2.gamma.fill_(20)
    return lively


@pytest.fixture(scope="module")
def images():
    return Mosaic(split="val", n=N, size=84)


@pytest.fixture(scope="module")
def store(backbone, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("exact")
    return make(backbone, path, images, layers=(LAYER,), dtype="float32", corrupt="missing")


@pytest.fixture(scope="module")
def pixels(backbone, images):
    seen = [backbone.preprocess.crop(images[i].image) for i in range(N)]
    return torch.from_numpy(np.stack(seen))


def asked(store, readout):
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(4, 24, generator=generator), torch.randn(4, generator=generator)
    return Task(
        (weight, bias), classes=tuple("abcd"), readout=readout, origin=store.origin(LAYER, ("patch",))
    )


def whole_model(backbone, pixels_bhwc, change_btd):
    """timm's final tokens, with a change added to what block LAYER returns."""
    hook = backbone.model.blocks[LAYER].register_forward_hook(lambda block, args, x_btd: x_btd + change_btd)
    with torch.inference_mode():
        final_btd = backbone.model.forward_features(backbone.preprocess.normalise(pixels_bhwc))
    hook.remove()
    return final_btd


def read(task, final_btd):
    units = {"patches": final_btd[:, 5:], "cls": final_btd[:, :1], "mean": final_btd[:, 5:].mean(1, True)}
    return units[task.readout] @ task.weight.T + task.bias


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_the_whole_model_with_any_token_changed(backbone, store, pixels, kind):
    numbers, (first, last) = np.arange(N)[::-1].copy(), KINDS[kind]
    change_btd = torch.zeros(N, 29, 24)
    change_btd[:, first:last] = 3 * torch.randn(N, last - first, 24)  # one cls token is to be felt by all
    before_btd = whole_model(backbone, pixels[numbers], torch.zeros(29, 24))
    after_btd = whole_model(backbone, pixels[numbers], change_btd)
    for readout in ("patches", "cls", "mean"):
        task = asked(store, readout)
        before, after = read(task, before_btd), read(task, after_btd)
        assert (after - before).abs().max() > 0.1
        for model in (
            Continuation.from_store(backbone, task, store, LAYER, numbers, CPU),
            Continuation.from_pixels(backbone, task, LAYER, pixels[numbers], CPU),
        ):
            torch.testing.assert_close(model.logits(), before, rtol=1e-3, atol=1e-3)
            logits = model.logits(change_btd=change_btd)
            torch.testing.assert_close(logits, after, rtol=1e-3, atol=1e-3)
            assert torch.equal(model.predict(change_btd=change_btd), logits.argmax(-1))


def test_some_images_in_any_order(backbone, store):
    task = asked(store, "patches")
    model = Continuation.from_store(backbone, task, store, LAYER, np.arange(N), CPU)
    chosen, change_btd = torch.tensor([9, 0, 3, 9]), torch.randn(4, 29, 24)
    everywhere = torch.zeros(N, 29, 24)
    for i, change_td in zip(chosen.tolist(), change_btd, strict=True):
        everywhere[i] = change_td  # the second change of image 9 wins
    some, every = model.logits(chosen, change_btd), model.logits(change_btd=everywhere)
    torch.testing.assert_close(some[1:], every[chosen[1:]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.logits(chosen), model.logits()[chosen], rtol=1e-4, atol=1e-4)


def test_images_keep_their_numbers_in_the_store(backbone, store, pixels):
    task, numbers = asked(store, "cls"), np.array([7, 2])
    assert Continuation.from_store(backbone, task, store, LAYER, numbers, CPU).images.tolist() == [7, 2]
    uploaded = Continuation.from_pixels(backbone, task, LAYER, pixels[numbers], CPU)
    assert uploaded.images.tolist() == [0, 1] and len(uploaded) == 2


@pytest.mark.parametrize(("readout", "units"), [("patches", 24), ("cls", 1), ("mean", 1)])
def test_no_images(backbone, store, readout, units):
    model = Continuation.from_store(backbone, asked(store, readout), store, LAYER, np.arange(2), CPU)
    nothing = torch.empty(0, dtype=torch.long)
    assert model.logits(nothing, torch.empty(0, 29, 24)).shape == (0, units, 4)
    assert model.predict(nothing).shape == (0, units)
    none = Continuation.from_store(backbone, asked(store, readout), store, LAYER, np.arange(0), CPU)
    assert none.logits().shape == (0, units, 4)


def test_on_another_device(backbone, store, pixels, elsewhere):
    """Everything is brought there, and logits come back to the CPU."""
    task, change_btd = asked(store, "mean"), torch.randn(N, 29, 24)
    here = Continuation.from_store(backbone, task, store, LAYER, np.arange(N), CPU)
    expected = here.logits(change_btd=change_btd)
    moved = copy.deepcopy(backbone), copy.deepcopy(task)
    for model in (
        Continuation.from_store(*moved, store, LAYER, np.arange(N), elsewhere),
        Continuation.from_pixels(*moved, LAYER, pixels, elsewhere),
    ):
        assert next(moved[0].parameters()).device == moved[1].weight.device == elsewhere.device
        logits = model.logits(change_btd=change_btd)
        assert logits.device.type == "cpu"
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


def test_bf16_is_close(backbone, store):
    """Matrix products in bf16, which keeps 8 bits; the logits are float32."""
    task = asked(store, "mean")
    exact, rough = (
        Continuation.from_store(
            backbone, task, store, LAYER, np.arange(N), Machine(accelerator="cpu", precision=precision)
        ).logits()
        for precision in ("fp32", "bf16")
    )
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.1)
