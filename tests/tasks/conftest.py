"""A tiny CLIP with random weights, both towers, and its image tower cut open."""

import pytest
import torch

from saev.backbones import Backbone
from saev.data import Preprocess


@pytest.fixture(scope="session")
def clip():
    from open_clip.model import CLIP

    torch.manual_seed(0)
    vision = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
    text = {"layers": 1, "width": 16, "heads": 2, "context_length": 4, "vocab_size": 20}
    return CLIP(10, vision, text).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def clip_tower(clip) -> Backbone:
    """2 blocks, width 32, 4 x 4 patches of 8 px, one cls token."""
    from saev.backbones.from_open_clip import OpenClipVit

    half = (0.5, 0.5, 0.5)
    return OpenClipVit(clip.visual, name="clip", preprocess=Preprocess(size=(32, 32), mean=half, std=half))
