"""The image towers of open_clip: the cut against open_clip's own models, weights, preprocessing, refusals."""

import json
from pathlib import Path

import pytest
import torch

from saev.backbones import open_clip_vit
from saev.backbones.from_open_clip import _preprocess, _trained_as
from saev.errors import SaevError


@pytest.fixture(scope="module")
def open_clip_in_small(tmp_path_factory) -> None:
    """Small models of open_clip, under names of their own in its registry."""
    import open_clip

    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
    own = {"image_size": 64, "patch_size": 16, "width": 32, "head_width": 16, "layers": 3}
    visions = {
        "clip": own,
        "mean-pooled": {**own, "pool_type": "avg"},
        "normed-after-pooling": {**own, "pool_type": "avg", "final_ln_after_pool": True},
        "without-first-norm": {**own, "no_ln_pre": True, "ls_init_value": 0.1},
        "coca": {**own, "attentional_pool": True, "attn_pooler_heads": 2},
        "resnet": {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "head_width": 8},
        "timm": {"timm_model_name": "test_vit3", "timm_pool": "map", "timm_proj": "none", "image_size": 160},
        "timm-linear": {"timm_model_name": "test_vit", "timm_pool": "", "image_size": 160},
        "convolutions": {"timm_model_name": "test_convnext", "timm_pool": "avg", "image_size": 160},
    }
    folder = tmp_path_factory.mktemp("open_clip")
    for name, vision in visions.items():
        config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
        Path(folder, f"small-{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.mark.parametrize(
    ("name", "size", "tokens", "grid"),
    [
        ("clip", None, {"cls": (0, 1), "patch": (1, 17)}, (4, 4)),
        ("clip", [32, 80], {"cls": (0, 1), "patch": (1, 11)}, (2, 5)),
        ("mean-pooled", None, {"cls": (0, 1), "patch": (1, 17)}, (4, 4)),
        ("normed-after-pooling", None, {"cls": (0, 1), "patch": (1, 17)}, (4, 4)),
        ("without-first-norm", None, {"cls": (0, 1), "patch": (1, 17)}, (4, 4)),
        ("timm", None, {"register": (0, 1), "patch": (1, 101)}, (10, 10)),
        ("timm-linear", [64, 96], {"cls": (0, 1), "patch": (1, 25)}, (4, 6)),
    ],
)
def test_the_cut_of_open_clips_towers_changes_nothing(open_clip_in_small, name, size, tokens, grid):
    import open_clip

    backbone = open_clip_vit(model=f"small-{name}", img_size=size)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # that of the random weights
        visual = open_clip.create_model(
            f"small-{name}", force_image_size=None if size is None else tuple(size)
        ).visual.eval()
    assert (backbone.tokens, backbone.grid) == (tokens, grid)
    images = torch.randn(2, 3, *backbone.preprocess.size)
    with torch.inference_mode():
        final = backbone(images)
        for layer, acts in enumerate(backbone.prefix(images, range(backbone.n_blocks))):
            assert torch.equal(backbone.suffix(acts, layer), final)
        torch.testing.assert_close(backbone.output(final), visual(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet", "small-resnet is no vision transformer: its image tower is a ModifiedResNet"),
        ("coca", "open_clip/small-coca pools by attention (CoCa), which has no final patch tokens to read"),
        (
            "convolutions",
            "open_clip/small-convolutions is a ConvNeXt; of timm's models VisionTransformer and ",
        ),
    ],
)
def test_open_clips_other_towers_are_refused(open_clip_in_small, name, message):
    with pytest.raises(SaevError) as error:
        open_clip_vit(model=f"small-{name}")
    assert str(error.value).startswith(message)


def hub_copy(folder: Path, **preprocess: object) -> None:
    """The configuration of a hub repository (BioCLIP's layout) in `folder`, without weights."""
    import open_clip

    config = {"model_cfg": open_clip.get_model_config("small-clip"), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def test_a_directory_brings_weights_and_preprocessing(open_clip_in_small, tmp_path):
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(1)
    clip = open_clip.create_model("small-clip").eval()
    save_file(clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    hub_copy(tmp_path, mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.2], interpolation="bilinear", size=[64, 64])
    backbone = open_clip_vit(model=f"local-dir:{tmp_path}")
    assert str(backbone.preprocess) == (
        "64x64 px bilinear, crop 1, mean (0.4, 0.5, 0.6), std (0.2, 0.2, 0.2)"
    )
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(backbone.output(backbone(images)), clip.visual(images))


def test_a_directory_without_weights_is_refused(open_clip_in_small, tmp_path):
    """open_clip warns in its log, and gives a model with random weights."""
    hub_copy(tmp_path)
    with pytest.raises(SaevError, match="cannot be built: Required pretrained weights"):
        open_clip_vit(model=f"local-dir:{tmp_path}")


def test_padding_to_the_longer_side_is_refused(open_clip_in_small, tmp_path):
    import open_clip
    from safetensors.torch import save_file

    save_file(open_clip.create_model("small-clip").state_dict(), tmp_path / "open_clip_model.safetensors")
    hub_copy(tmp_path, resize_mode="longest")
    with pytest.raises(SaevError, match="resize_mode must be shortest or squash, got 'longest'"):
        open_clip_vit(model=f"local-dir:{tmp_path}")


def test_weights_of_a_directory_are_not_replaced():
    with pytest.raises(SaevError, match="brings its weights: pretrained must be null, got 'openai'"):
        open_clip_vit(model="hf-hub:imageomics/bioclip", pretrained="openai")


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B/32"])
@pytest.mark.parametrize("pretrained", ["openai", "OpenAI"])
def test_openai_weights_need_their_activation_function(model, pretrained):
    """open_clip only warns, and every activation is a little wrong."""
    with pytest.raises(SaevError) as error:
        open_clip_vit(model=model, pretrained=pretrained)
    assert str(error.value) == (
        "open_clip model 'ViT-B-32' has another activation function than its weights "
        f"'{pretrained}'; use 'ViT-B-32-quickgelu'"
    )


@pytest.mark.parametrize("pretrained", ["webli", None, "weights/own.safetensors"])
def test_siglip_is_prepared_as_it_was_trained(open_clip_in_small, pretrained):
    """Where open_clip does not know the weights it falls back on CLIP's preprocessing."""
    import open_clip

    visual = open_clip.create_model("small-timm").visual
    preprocess = _preprocess(visual, "siglip", _trained_as("ViT-B-16-SigLIP", pretrained))
    assert str(preprocess) == (
        "160x160 px squashed bicubic, crop 1, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)"
    )
