"""Vision transformers of timm."""

from torch import Tensor, nn

from saev.backbones.backbone import Backbone
from saev.backbones.weights import read_state_dict, reproducible_start
from saev.data.preprocess import Preprocess
from saev.errors import SaevError


class TimmVit(Backbone):
    """A timm `VisionTransformer`; `head` follows it where another library wraps timm (open_clip)."""

    def __init__(self, model: nn.Module, *, name: str, preprocess: Preprocess | None = None, head: nn.Module | None = None):
        from timm.models.vision_transformer import VisionTransformer

        if not isinstance(model, VisionTransformer):
            raise SaevError(f"{name} is a {type(model).__name__}; only timm's VisionTransformer models are supported")
        super().__init__(
            model, name=name, preprocess=preprocess or timm_preprocess(model), patch=model.patch_embed.patch_size,
            n_special=model.num_prefix_tokens, d=model.embed_dim,
        )  # fmt: skip
        self.head = (nn.Identity() if head is None else head).eval().requires_grad_(False)

    @property
    def blocks(self) -> nn.Sequential:
        return self.model.blocks

    def embed(self, images: Tensor) -> Tensor:
        return self.model.norm_pre(self.model._pos_embed(self.model.patch_embed(images)))

    def norm(self, tokens: Tensor) -> Tensor:
        return self.model.norm(tokens)

    def output(self, tokens: Tensor) -> Tensor:
        return self.head(self.model.forward_head(tokens))


def timm_vit(*, model: str, pretrained: bool = True, checkpoint: str | None = None, img_size: int | None = None) -> TimmVit:
    """Build a timm ViT by name.

    Args:
        model: timm's name, for example `vit_small_patch14_dinov2.lvd142m`.
        pretrained: take timm's weights from its hub (or the local hub cache); if false, the same random ones each time.
        checkpoint: take the weights from this file instead.
        img_size: input side in pixels; position embeddings are resampled to it.

    Raises:
        SaevError: no such model, no such file, or weights that do not fit.
    """
    import timm

    try:
        size = {} if img_size is None else {"img_size": img_size}
        with reproducible_start():
            vit = timm.create_model(model, pretrained=pretrained and checkpoint is None, **size)
    except Exception as error:
        raise SaevError(f"timm model {model!r} cannot be built: {str(error).splitlines()[0]}") from None
    if checkpoint is not None:
        load_into(vit, read_state_dict(checkpoint), checkpoint)
    return TimmVit(vit, name=f"timm/{model}")


def load_into(vit: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load `state` into a timm ViT, resampling position embeddings; head weights may be missing or extra."""
    from timm.models.vision_transformer import checkpoint_filter_fn

    missing, unexpected = vit.load_state_dict(checkpoint_filter_fn(state, vit), strict=False)
    wrong = [key for key in (*missing, *unexpected) if not key.startswith("head.") and key != "mask_token"]
    if wrong:
        raise SaevError(f"{origin}: weights do not fit the model: {len(wrong)} keys missing or unexpected, e.g. {wrong[0]!r}")


def timm_preprocess(vit: nn.Module) -> Preprocess:
    """The evaluation preprocessing that timm records for a model, at the model's input size."""
    cfg = vit.pretrained_cfg
    return Preprocess(
        size=tuple(vit.patch_embed.img_size), mean=tuple(cfg["mean"]), std=tuple(cfg["std"]),
        crop_share=cfg["crop_pct"], interpolation=cfg["interpolation"],
    )  # fmt: skip
