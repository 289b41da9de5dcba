"""Small real things that many tests share: a tiny ViT with random weights, and a store recorded with it."""

import pytest
import torch
from jaxtyping import install_import_hook

# Shapes and types of the arithmetic are checked at every call, in tests only.
install_import_hook(
    ["saev.sae.model", "saev.sae.kernels.sparse", "saev.intervention.edits"], "beartype.beartype"
)

from saev.activations import Recording, Store, record
from saev.backbones import Backbone
from saev.data import Mosaic
from saev.machine import Machine


@pytest.fixture(scope="session")
def tiny_vit() -> Backbone:
    """3 blocks, width 24, 4 x 4 patches of 16 px, one cls token."""
    import timm

    from saev.backbones.from_timm import TimmVit

    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224",
        pretrained=False,
        img_size=64,
        depth=3,
        embed_dim=24,
        num_heads=3,
        num_classes=5,
    )
    return TimmVit(model, name="tiny")


@pytest.fixture(scope="session")
def stores(tiny_vit, tmp_path_factory) -> dict[str, Store]:
    """40 training and 12 validation scenes at layers 1 and 2, in chunks of 8."""
    root = tmp_path_factory.mktemp("acts")
    return {
        split: record(
            tiny_vit,
            Mosaic(split=split, n=n, size=64),
            root / split,
            layers=[1, 2],
            working=root / f"{split}-working",
            options=Recording(chunk=8, batch_size=4),
            workers=0,
            machine=Machine(accelerator="cpu", precision="fp32"),
        )
        for split, n in (("train", 40), ("val", 12))
    }
