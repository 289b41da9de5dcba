"""Where a model, as timm or open_clip made it, keeps its residual stream."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saev.backbones.backbone import Backbone
from saev.errors import SaevError


class Anatomy(NamedTuple):
    """The blocks of a ViT, each (b, t, d) -> (b, t, d), and what their tokens are: first cls, then registers,
    then the patches, of which there may be more or fewer with every image."""

    blocks: Sequence[nn.Module]
    n_cls: int
    n_register: int

    @property
    def n_special(self) -> int:
        """Tokens before the first patch."""
        return self.n_cls + self.n_register

    def layer_index(self, layer: int) -> int:
        """`layer` as a 0-based block index; -1 is the last block. Raises SaevError if out of range."""
        n = len(self.blocks)
        if type(layer) is not int or not -n <= layer < n:
            raise SaevError(f"layer must be an integer in [{-n}, {n - 1}] of this model, got {layer!r}")
        return layer % n

    def positions(self, kind: str, n_tokens: int) -> Tensor:
        """Of n tokens those of a kind: cls, register or patch."""
        ends = {
            "cls": (0, self.n_cls),
            "register": (self.n_cls, self.n_special),
            "patch": (self.n_special, n_tokens),
        }
        return torch.arange(*ends[kind])


def anatomy(model: nn.Module) -> Anatomy:
    """Of a Backbone; of a VisionTransformer or Eva of timm; of an open_clip model, or of its image tower.

    Nothing of the model is changed, and it may be of any input size.

    Raises:
        SaevError: it is none of these.
    """
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if isinstance(model, Backbone):
        n_cls = model.tokens.get("cls", (0, 0))[1]
        return Anatomy(model.blocks, n_cls, model.n_special - n_cls)
    tower = getattr(model, "visual", model)  # of open_clip's model of both towers
    tower = getattr(tower, "trunk", tower)  # timm's, as open_clip wraps it
    if isinstance(tower, (VisionTransformer, Eva)):
        n_cls = int(tower.cls_token is not None)
        return Anatomy(list(tower.blocks), n_cls, tower.num_prefix_tokens - n_cls)
    if type(tower).__module__ == "open_clip.transformer":  # which takes seconds to import
        transformer = getattr(tower, "transformer", None)
        blocks = getattr(transformer, "resblocks", None)
        if hasattr(tower, "conv1") and blocks is not None and getattr(transformer, "batch_first", False):
            return Anatomy(blocks, 1, 0)
    raise SaevError(
        "the model must be a VisionTransformer or Eva of timm, an open_clip model with a ViT, or a Backbone, "
        f"got a {type(model).__name__}"
    )
