"""Prefix and suffix against timm's own whole models, over its architectures in small."""

from functools import cache

import pytest
import torch

from saev.backbones import Backbone
from saev.backbones.from_timm import wrap
from saev.data import Preprocess
from saev.errors import SaevError

SMALL = {"depth": 3, "embed_dim": 48, "num_heads": 3}

# timm's models: input, then how many cls tokens, registers, and rows and columns of patches
TIMM = {
    "vit_tiny_patch16_224": ((64, 96), 1, 0, (4, 6)),
    "vit_small_patch14_reg4_dinov2": ((56, 84), 1, 4, (4, 6)),
    "deit_tiny_distilled_patch16_224": ((64, 96), 1, 1, (4, 6)),  # its distillation token
    "deit3_small_patch16_224": ((64, 96), 1, 0, (4, 6)),  # no position embedding of the cls token
    "vit_base_patch16_clip_224": ((64, 96), 1, 0, (4, 6)),  # a norm before the blocks
    "vit_base_patch16_rpn_224": ((64, 96), 0, 0, (4, 6)),  # norms after each residual
    "vit_base_patch16_siglip_224": ((64, 96), 0, 0, (4, 6)),  # pools by attention
    "vit_medium_patch16_gap_240": ((64, 96), 0, 0, (4, 6)),  # pools by the mean, then a norm
    "vit_so150m_patch16_reg4_map_256": ((64, 96), 0, 4, (4, 6)),  # registers without a cls token
    "beit3_base_patch16_224": ((64, 96), 1, 0, (4, 6)),
    "eva_giant_patch14_224": ((56, 84), 1, 0, (4, 6)),  # no rotary embedding
    "eva02_tiny_patch14_224": ((56, 84), 1, 0, (4, 6)),  # rotary and learnt embeddings
    "vit_small_patch16_dinov3": ((96, 64), 1, 4, (6, 4)),  # rotary ones
    "vit_small_patch16_rope_mixed_224": ((64, 96), 1, 0, (4, 6)),  # learnt ones of each block
    "vit_pe_core_tiny_patch16_384": ((64, 96), 1, 0, (4, 6)),
}


def randomise(model: torch.nn.Module) -> None:
    """Large weights: LayerScale begins at 1e-5 and heads at 0, where a block left out hardly shows."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


@cache
def build(name: str) -> Backbone:
    import timm

    model = timm.create_model(name, pretrained=False, img_size=TIMM[name][0], num_classes=5, **SMALL)
    randomise(model)
    return wrap(model, name=name)


@pytest.mark.parametrize("name", TIMM)
def test_the_cut_changes_nothing(name):
    backbone, (size, n_cls, n_register, _) = build(name), TIMM[name]
    model, images = backbone.model, torch.randn(2, 3, *size)
    n_special = n_cls + n_register
    with torch.inference_mode():
        final = model.forward_features(images)
        whole = model.forward_intermediates(
            images, [0, 1, 2], output_fmt="NLC", return_prefix_tokens=n_special > 0, intermediates_only=True
        )
        for layer, tokens in enumerate(backbone.prefix(images, [0, 1, 2])):
            expected = torch.cat(whole[layer][::-1], dim=1) if n_special else whole[layer]
            assert torch.equal(tokens, expected)
            assert torch.equal(backbone.suffix(tokens, layer), final)
        assert torch.equal(backbone(images), final)
        assert torch.equal(backbone.output(final), model(images))
    assert final.shape == (2, backbone.n_tokens, backbone.d) == (2, n_special + 24, 48)


@pytest.mark.parametrize("name", TIMM)
def test_tokens_are_cls_registers_then_patches_row_by_row(name):
    """Another picture in one patch changes the embedding of that patch's token only."""
    backbone, (size, n_cls, n_register, (rows, columns)) = build(name), TIMM[name]
    n_special = n_cls + n_register
    ends = {"cls": (0, n_cls), "register": (n_cls, n_special), "patch": (n_special, n_special + 24)}
    assert backbone.tokens == {kind: (a, b) for kind, (a, b) in ends.items() if a < b}
    assert (backbone.grid, backbone.n_special, backbone.n_blocks) == ((rows, columns), n_special, 3)
    height, width = size[0] // rows, size[1] // columns
    image = torch.randn(1, 3, *size)
    images = image.repeat(24, 1, 1, 1)
    for i in range(24):
        row, column = divmod(i, columns)
        images[i, :, row * height : (row + 1) * height, column * width : (column + 1) * width] += 1
    with torch.inference_mode():
        moved = (backbone.embed(images) - backbone.embed(image)).norm(dim=-1) > 1e-3
    assert torch.equal(moved, torch.eye(n_special + 24, dtype=torch.bool)[n_special:])


class Lines(Backbone):
    """All that a family of models must say: here strips of an image, two linear blocks."""

    def __init__(self, n_cls: int = 0):
        model = torch.nn.ModuleDict({"embed": torch.nn.Linear(24, 6)})
        model["blocks"] = torch.nn.ModuleList([torch.nn.Linear(6, 6), torch.nn.Linear(6, 6)])
        strips = Preprocess(size=(4, 2), mean=(0, 0, 0), std=(1, 1, 1))
        super().__init__(model, name="lines/2", preprocess=strips, patch=(1, 2), n_cls=n_cls)

    @property
    def blocks(self):
        return self.model["blocks"]

    def embed(self, images):
        return self.model["embed"](images.permute(0, 2, 1, 3).flatten(2).repeat(1, 1, 4))

    def norm(self, tokens):
        return tokens - tokens.mean(-1, keepdim=True)

    def output(self, tokens):
        return tokens.mean(1)


def test_a_further_family_is_four_methods():
    lines = Lines()
    assert (lines.grid, lines.tokens, lines.d, lines.n_blocks) == ((4, 1), {"patch": (0, 4)}, 6, 2)
    images = torch.randn(3, 3, 4, 2)
    first, second = lines.prefix(images, [0, 1])
    assert torch.equal(second, lines.model["blocks"][1](first))
    assert torch.equal(lines.suffix(first, 0), lines.norm(second))
    assert not any(parameter.requires_grad for parameter in lines.parameters())


def test_a_family_that_makes_other_tokens_than_it_says_is_refused():
    with pytest.raises(
        SaevError, match="lines/2 is no plain vision transformer: it makes 4 tokens of 4 x 2 px, not"
    ):
        Lines(n_cls=1)


def test_prefix_stops_after_the_last_layer_asked_for(tiny_vit):
    ran = []
    hooks = [
        block.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(tiny_vit.blocks)
    ]
    first, second = tiny_vit.prefix(torch.randn(1, 3, 64, 64), [1, 0])
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]
    torch.testing.assert_close(tiny_vit.blocks[1](second), first)  # in the order asked for


@pytest.mark.parametrize("layer", [3, -4, "2", 1.0, True])
def test_layer_out_of_range_is_echoed(tiny_vit, layer):
    with pytest.raises(SaevError, match=r"layer must be an integer in \[-3, 2\] for tiny, got"):
        tiny_vit.layer_index(layer)


def test_geometry_tells_what_decides_the_tokens():
    assert build("vit_small_patch16_dinov3").geometry == (
        "96x64 px bicubic, crop 1, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225); "
        "1 cls, 4 register, 6x4 patch"
    )
    assert build("vit_base_patch16_siglip_224").geometry == (
        "64x96 px bicubic, crop 0.9, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5); 0 cls, 0 register, 4x6 patch"
    )
