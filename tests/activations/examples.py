"""Images, options and kinds that the tests of stores share."""

from pathlib import Path

import torch
from hypothesis import strategies as st

from saev.activations import Recording, Store, record
from saev.backbones import Backbone
from saev.data import CorruptImage, Mosaic
from saev.machine import Machine

CPU = Machine(accelerator="cpu", precision="fp32", workers=0)
MISSING = (3, 8, 15)
SPANS = {"cls": (0, 1), "register": (1, 5), "patch": (5, 29), "meanpool": (29, 30)}

kinds_of_token = st.lists(st.sampled_from(list(SPANS)), min_size=1, unique=True)
"""Every mix of kinds, in any order."""


class Damaged(Mosaic):
    """Scenes of which some cannot be decoded."""

    def __init__(self, missing, **options):
        super().__init__(**options)
        self.missing = frozenset(missing)

    def __getitem__(self, i):
        if i in self.missing:
            raise CorruptImage(f"{self.name(i)}: cannot be decoded as an image (on purpose)")
        return super().__getitem__(i)


class Odd:
    """Scenes with other labels, of other classes, or of none."""

    def __init__(self, change=lambda sample: sample, classes=Mosaic.classes, n=4):
        self.scenes, self.change, self.classes, self.n = Mosaic(split="val", n=4, size=64), change, classes, n
        self.fingerprint, self.name = "odd", self.scenes.name

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.change(self.scenes[i])


def tiny() -> Backbone:
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


def make(backbone, path, images, *, layers=(1,), machine=CPU, **options) -> Store:
    """Record `images` in chunks of 8."""
    recording = Recording(**{"layers": layers, "chunk": 8, "batch_size": 4, **options})
    return record(
        backbone,
        images,
        path / "store",
        working=path / "w",
        options=recording,
        machine=machine,
    )


def flip_a_byte(file: Path) -> None:
    """Damage a file as a disk does: one bit of its values."""
    content = bytearray(file.read_bytes())
    content[77] ^= 1
    file.write_bytes(content)
