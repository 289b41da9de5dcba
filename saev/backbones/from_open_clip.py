"""The visual towers of open_clip."""

from collections.abc import Sequence

from torch import Tensor, nn

from saev.backbones.backbone import Backbone
from saev.backbones.from_timm import wrap
from saev.backbones.weights import reproducible_start
from saev.data.preprocess import Preprocess
from saev.errors import SaevError


class OpenClipVit(Backbone):
    """open_clip's own `VisionTransformer`: cls token, pre-norm, projection to the text space."""

    def __init__(self, visual: nn.Module, *, name: str, preprocess: Preprocess):
        if visual.attn_pool is not None:
            raise SaevError(f"{name} pools by attention (CoCa), which has no final patch tokens to read")
        super().__init__(
            visual,
            name=name,
            preprocess=preprocess,
            patch=tuple(visual.patch_size),
            n_cls=1,
            d=visual.conv1.out_channels,
        )

    @property
    def blocks(self) -> nn.ModuleList:
        return self.model.transformer.resblocks

    def embed(self, images: Tensor) -> Tensor:
        return self.model._embeds(images)

    def norm(self, tokens: Tensor) -> Tensor:
        # A per-token LayerNorm commutes with picking a token but not with averaging them.
        return tokens if self.model.final_ln_after_pool else self.model.ln_post(tokens)

    def output(self, tokens: Tensor) -> Tensor:
        pooled, _ = self.model._global_pool(tokens)
        if self.model.final_ln_after_pool:
            pooled = self.model.ln_post(pooled)
        return pooled if self.model.proj is None else pooled @ self.model.proj


def open_clip_vit(
    *, model: str, pretrained: str | None = None, img_size: int | Sequence[int] | None = None
) -> Backbone:
    """Build the visual tower of an open_clip model.

    Args:
        model: open_clip's name (`ViT-B-16`), a hub id (`hf-hub:imageomics/bioclip`), or a directory that
            holds such a model (`local-dir:weights/bioclip`).
        pretrained: open_clip's tag (`openai`, `laion2b_s34b_b88k`), a local weights file, or null for a
            hub id or directory, whose weights come with it.
        img_size: side, or (height, width), of the input in pixels, as for `timm_vit`.

    Raises:
        SaevError: the model or its weights cannot be had.
    """
    import open_clip

    _check_activation(model, pretrained)
    try:
        with reproducible_start():
            clip = open_clip.create_model(
                model,
                pretrained=pretrained,
                weights_only=True,
                force_image_size=img_size
                if img_size is None or isinstance(img_size, int)
                else tuple(img_size),
            )
    except Exception as error:
        raise SaevError(
            f"open_clip model {model!r} ({pretrained}) cannot be built: {str(error).splitlines()[0]}"
        ) from None
    name = f"open_clip/{model}" + (f"/{pretrained}" if pretrained else "")
    cfg = clip.visual.preprocess_cfg
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tags and pretrained not in tags:
        # open_clip then falls back on CLIP's constants, even for SigLIP; a local file is of the model's own kind.
        cfg = {
            **cfg,
            **{
                key: value
                for key, value in open_clip.get_pretrained_cfg(model, tags[0]).items()
                if key in cfg
            },
        }
    size = cfg["size"] if isinstance(cfg["size"], (tuple, list)) else (cfg["size"], cfg["size"])
    preprocess = Preprocess(
        size=tuple(size),
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation=cfg["interpolation"],
        squash=cfg.get("resize_mode") == "squash",
    )
    if hasattr(clip.visual, "trunk"):  # SigLIP and others: a timm ViT and a head
        return wrap(clip.visual.trunk, name=name, preprocess=preprocess, head=clip.visual.head)
    return OpenClipVit(clip.visual, name=name, preprocess=preprocess)


def _check_activation(model: str, pretrained: str | None) -> None:
    """OpenAI's weights were trained with QuickGELU, which the plain model names do not build; open_clip only warns."""
    import open_clip

    if pretrained in open_clip.list_pretrained_tags_by_model(model):
        trained = open_clip.get_pretrained_cfg(model, pretrained).get("quick_gelu", False)
        if trained != open_clip.get_model_config(model).get("quick_gelu", False):
            right = f"{model}-quickgelu" if trained else model.removesuffix("-quickgelu")
            raise SaevError(
                f"open_clip model {model!r} has another activation function than its weights {pretrained!r}; use {right!r}"
            )
