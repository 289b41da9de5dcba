"""Small real things that many tests share: ViTs with random weights, recorded stores, and tasks."""

import random
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import install_import_hook

# The models are tiny: on busy cores two threads wait for each other at every operation, 3 to 8 times as long.
torch.set_num_threads(1)

# Shapes and types of the arithmetic are checked at every call, in tests only.
install_import_hook(
    ["saev.sae.model", "saev.sae.kernels.sparse", "saev.intervention.edits"], "beartype.beartype"
)

from saev.activations import Recording, Store, record
from saev.backbones import Backbone
from saev.data import Mosaic
from saev.machine import Machine
from saev.tasks import Task, TaskOptions, train_task
from tests.activations.examples import CPU, tiny


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test draws is the same at every run and on every worker, whatever ran before it."""
    random.seed(0), torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_vit() -> Backbone:
    return tiny()


@pytest.fixture(scope="session")
def registers() -> Backbone:
    """2 blocks, width 24, 1 cls and 4 register tokens, 4 x 6 patches of 14 px."""
    import timm

    from saev.backbones.from_timm import TimmVit

    torch.manual_seed(0)
    model = timm.create_model(
        "vit_small_patch14_reg4_dinov2",
        pretrained=False,
        img_size=(56, 84),
        depth=2,
        embed_dim=24,
        num_heads=3,
    )
    return TimmVit(model, name="registers")


@pytest.fixture(scope="session")
def stores(tiny_vit, tmp_path_factory) -> dict[str, Store]:
    """40 training and 12 validation scenes at layers 1 and 2, in chunks of 8."""
    root = tmp_path_factory.mktemp("acts")
    return {
        split: record(
            tiny_vit,
            Mosaic(split=split, n=n, size=64),
            root / split,
            working=root / f"{split}-working",
            options=Recording(layers=(1, 2), chunk=8, batch_size=4),
            machine=CPU,
        )
        for split, n in (("train", 40), ("val", 12))
    }


@pytest.fixture(scope="session")
def task(stores, tiny_vit) -> Task:
    """Which photograph each patch is of."""
    return train_task(tiny_vit, stores["train"], 1, TaskOptions(), 0, CPU)


@pytest.fixture(scope="session")
def image_task(stores, tiny_vit) -> Task:
    """Which photograph covers most of the image, by its cls token."""
    return train_task(tiny_vit, stores["train"], 1, TaskOptions(readout="cls"), 0, CPU)


@pytest.fixture
def elsewhere(monkeypatch) -> Iterator[Machine]:
    """A machine of the pretend device, on which what was not brought there fails as on a GPU."""
    from tests.machine.pretend import DEVICE, Factories

    machine = Machine(accelerator="cpu", precision="fp32")
    vars(machine)["device"] = DEVICE
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # the pretend device knows only this
    with Factories():
        yield machine
