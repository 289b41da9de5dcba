"""The image towers of open_clip."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from saev.backbones.backbone import Backbone, Side, input_size
from saev.backbones.from_timm import wrap
from saev.backbones.texts import Words, embed
from saev.backbones.weights import reproducible_start
from saev.data.preprocess import Preprocess
from saev.errors import SaevError, first_line

if TYPE_CHECKING:  # open_clip takes seconds to import
    from open_clip.transformer import VisionTransformer

SCHEMES = ("hf-hub:", "local-dir:")
"""Beginnings of the names of models that bring their own weights."""


class OpenClipVit(Backbone):
    """open_clip's own `VisionTransformer`: cls token, pre-norm, projection to the text space."""

    model: "VisionTransformer"

    def __init__(self, visual: "VisionTransformer", *, name: str, preprocess: Preprocess):
        if visual.attn_pool is not None:
            raise SaevError(f"{name} pools by attention (CoCa), which has no final patch tokens to read")
        super().__init__(
            visual,
            name=name,
            preprocess=preprocess,
            patch=cast("tuple[int, int]", visual.patch_size),
            n_cls=1,
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
    *, model: str, pretrained: str | None = None, img_size: Side | Sequence[Side] | None = None
) -> Backbone:
    """Build the image tower of an open_clip model; its `output` lies in the space shared with texts, whose
    tower is built when somebody asks for `texts`.

    Args:
        model: open_clip's name (`ViT-B-16`), a hub id (`hf-hub:imageomics/bioclip`), or a directory that
            holds such a model (`local-dir:weights/bioclip`).
        pretrained: open_clip's tag (`openai`, `laion2b_s34b_b88k`) or a local weights file. null: for a
            hub id or directory the weights that come with it, for a name random ones, the same each time.
        img_size: side, or (height, width), of the input in pixels, as for `timm_vit`.

    Raises:
        SaevError: the model or its weights cannot be had, or its image tower is no plain ViT.
    """
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if not model.startswith(SCHEMES):
        model = model.replace("/", "-")  # CLIP's own spelling, ViT-B/16, as open_clip takes it
    visual = _create(model, pretrained, input_size(img_size)).visual
    if not isinstance(visual, (VisionTransformer, TimmModel)):
        raise SaevError(f"{model} is no vision transformer: its image tower is a {type(visual).__name__}")
    name = f"open_clip/{model}" + (f"/{pretrained}" if pretrained else "")
    preprocess = _preprocess(visual, name, _trained_as(model, pretrained))
    if isinstance(visual, TimmModel):  # SigLIP and others: a timm ViT and a head
        tower = wrap(visual.trunk, name=name, preprocess=preprocess, head=visual.head)
    else:
        tower = OpenClipVit(visual, name=name, preprocess=preprocess)
    tower.texts = partial(_texts, model, pretrained)
    return tower


def _texts(model: str, pretrained: str | None, texts: Sequence[str]) -> Words:
    import open_clip

    try:
        tokenize = open_clip.get_tokenizer(model)
    except Exception as error:  # SigLIP's needs a library of its own, and a file from the hub
        raise SaevError(f"open_clip model {model!r} cannot read texts: {first_line(error)}") from None
    return embed(_create(model, pretrained, None).eval(), tokenize, texts)


def _create(model: str, pretrained: str | None, size: tuple[int, int] | None) -> Any:
    """open_clip's whole model, both towers: of several classes, which have no common type but Module."""
    import open_clip

    brings_weights = model.startswith(SCHEMES)
    if brings_weights and pretrained is not None:
        raise SaevError(
            f"open_clip model {model!r} brings its weights: pretrained must be null, got {pretrained!r}"
        )
    _check_activation(model, pretrained)
    try:
        with reproducible_start():
            return open_clip.create_model(
                model,
                pretrained=pretrained,
                weights_only=True,
                # Without it a hub id or directory that lacks weights is a random model and a warning.
                require_pretrained=brings_weights or pretrained is not None,
                force_image_size=size,
            )
    except Exception as error:
        what = f"backbone.model: open_clip model {model!r} ({pretrained})"
        raise SaevError(f"{what} cannot be built: {first_line(error)}") from None


def _trained_as(model: str, pretrained: str | None) -> dict:
    """What open_clip records of the training of these weights; of a local file, that of any known ones.

    Empty for a hub id or a directory, which say it themselves.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    known = open_clip.get_pretrained_cfg(model, pretrained or "")
    return known or next((open_clip.get_pretrained_cfg(model, tag) for tag in tags), {})


def _preprocess(visual: Any, name: str, trained_as: dict) -> Preprocess:
    """open_clip's evaluation preprocessing, at the model's input size."""
    # open_clip falls back on CLIP's constants, even for SigLIP, where the weights are a local file.
    cfg = {key: trained_as.get(key, value) for key, value in visual.preprocess_cfg.items()}
    if cfg["resize_mode"] not in ("shortest", "squash"):
        raise SaevError(f"{name}: resize_mode must be shortest or squash, got {cfg['resize_mode']!r}")
    return Preprocess(
        size=tuple(visual.image_size),
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        interpolation=cfg["interpolation"],
        squash=cfg["resize_mode"] == "squash",
    )


def _check_activation(model: str, pretrained: str | None) -> None:
    """OpenAI's weights need QuickGELU, which the plain model names do not build; open_clip only warns."""
    import open_clip

    trained_as = open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
    if not trained_as:
        return
    quick, built_as = trained_as.get("quick_gelu", False), open_clip.get_model_config(model) or {}
    if quick != built_as.get("quick_gelu", False):
        right = f"{model}-quickgelu" if quick else model.removesuffix("-quickgelu")
        raise SaevError(
            f"open_clip model {model!r} has another activation function than its weights {pretrained!r}; "
            f"use {right!r}"
        )
