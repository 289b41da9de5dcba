"""Vision transformers of timm."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from saev.backbones.backbone import Backbone, Side, input_size
from saev.backbones.weights import read_weights, reproducible_start
from saev.data.preprocess import Preprocess
from saev.errors import SaevError, first_line

if TYPE_CHECKING:  # timm is imported where it is used
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer


class TimmVit(Backbone):
    """A timm `VisionTransformer`; `head` follows it where another library wraps timm (open_clip).

    All special tokens but cls count as registers, DeiT's distillation token too.
    """

    model: "VisionTransformer | Eva"

    def __init__(
        self,
        model: "VisionTransformer | Eva",
        *,
        name: str,
        preprocess: Preprocess | None = None,
        head: nn.Module | None = None,
    ):
        n_cls = int(model.cls_token is not None)
        super().__init__(
            model,
            name=name,
            preprocess=preprocess or timm_preprocess(model, name),
            patch=cast("tuple[int, int]", model.patch_embed.patch_size),
            n_cls=n_cls,
            n_register=model.num_prefix_tokens - n_cls,
        )
        self.head = (nn.Identity() if head is None else head).eval().requires_grad_(False)

    @property
    def blocks(self) -> nn.Sequential | nn.ModuleList:
        return self.model.blocks

    def embed(self, images: Tensor) -> Tensor:
        return self.model.norm_pre(self.model._pos_embed(self.model.patch_embed(images)))

    def norm(self, tokens: Tensor) -> Tensor:
        return self.model.norm(tokens)

    def output(self, tokens: Tensor) -> Tensor:
        return self.head(self.model.forward_head(tokens))


class TimmEva(TimmVit):
    """A timm `Eva`: DINOv3, EVA-02, Perception Encoder. Its blocks also take rotary position embeddings,
    which depend on the grid alone and so are computed once."""

    model: "Eva"
    rope: Tensor

    def __init__(self, model: "Eva", **options):
        super().__init__(model, **options)
        with torch.no_grad():
            rope = model._pos_embed(model.patch_embed(torch.zeros(1, 3, *self.preprocess.size)))[1]
        self.register_buffer("rope", rope, persistent=False)

    def embed(self, images: Tensor) -> Tensor:
        return self.model.norm_pre(self.model._pos_embed(self.model.patch_embed(images))[0])

    def block(self, i: int, tokens: Tensor) -> Tensor:
        mixed = getattr(self.model, "rope_mixed", False)  # learnt embeddings, one per block
        return self.blocks[i](tokens, rope=self.rope[i] if mixed else self.rope)


def wrap(model: nn.Module, *, name: str, **options) -> TimmVit:
    """The backbone around a timm model. Raises SaevError unless it is a plain VisionTransformer or Eva."""
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if isinstance(model, VisionTransformer):
        return TimmVit(model, name=name, **options)
    if isinstance(model, Eva):
        return TimmEva(model, name=name, **options)
    raise SaevError(f"{name} is a {type(model).__name__}; of timm's models VisionTransformer and Eva will do")


def timm_vit(
    *,
    model: str,
    pretrained: bool = True,
    checkpoint: str | None = None,
    img_size: Side | Sequence[Side] | None = None,
) -> TimmVit:
    """Build a timm ViT by name.

    Args:
        model: timm's name, for example `vit_small_patch14_dinov2.lvd142m`.
        pretrained: take timm's weights from its hub (or the local hub cache); if false, random ones, the
            same each time.
        checkpoint: take the weights from this file instead.
        img_size: side, or (height, width), of the input in pixels; position embeddings are resampled to it.
            null: the size that the model was trained at.

    Raises:
        SaevError: no such model, no such file, weights that do not fit, a size that is not whole patches,
            or a model that is no plain ViT.
    """
    import timm

    size, from_hub = input_size(img_size), pretrained and checkpoint is None
    try:
        with reproducible_start():
            vit = timm.create_model(model, pretrained=from_hub, img_size=size)
    except Exception as error:
        raise SaevError(
            f"backbone.model: timm model {model!r} cannot be built: {first_line(error)}"
        ) from None
    if checkpoint is not None:
        load_into(vit, read_weights(checkpoint), checkpoint)
    return wrap(vit, name=f"timm/{model}")


def load_into(vit: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load `state` into a timm ViT, resampling position embeddings; head weights may be missing or extra."""
    convert = getattr(sys.modules[type(vit).__module__], "checkpoint_filter_fn", lambda state, _: state)
    try:
        state, expected = convert(state, vit), vit.state_dict()
    except Exception as error:
        raise SaevError(f"{origin}: weights do not fit the model: {first_line(error)}") from None
    optional = ("head.", "head_dist.", "mask_token")
    if wrong := [key for key in expected.keys() ^ state.keys() if not key.startswith(optional)]:
        what = f"{len(wrong)} keys missing or unexpected, e.g. {min(wrong)!r}"
        raise SaevError(f"{origin}: weights do not fit the model: {what}")
    for key in sorted(expected.keys() & state.keys()):
        if state[key].shape != expected[key].shape:
            what = f"{key!r} is {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
            raise SaevError(f"{origin}: weights do not fit the model: {what}")
    vit.load_state_dict(state, strict=False)


def timm_preprocess(vit: "VisionTransformer | Eva", name: str) -> Preprocess:
    """The evaluation preprocessing that timm records for a model, at the model's input size."""
    from timm.data.config import resolve_model_data_config

    cfg = resolve_model_data_config(vit)
    if cfg["crop_mode"] not in ("center", "squash"):
        raise SaevError(f"{name}: crop_mode must be center or squash, got {cfg['crop_mode']!r}")
    return Preprocess(
        size=cast("tuple[int, int]", vit.patch_embed.img_size),
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        crop_share=cfg["crop_pct"],
        interpolation=cfg["interpolation"],
        squash=cfg["crop_mode"] == "squash",
    )
