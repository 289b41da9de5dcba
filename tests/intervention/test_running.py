"""Edits in the running model against a hook written by hand, and against what the experiments do."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from saev.activations import Origin
from saev.backbones import open_clip_vit
from saev.errors import SaevError
from saev.intervention.running import edited
from saev.intervention.trial import Trial
from saev.sae import SAE, TopK
from tests.intervention.examples import liveliest, opened

S = 48


def timm_model(name, **options):
    import timm

    torch.manual_seed(0)
    small = {"depth": 3, "embed_dim": 24, "num_heads": 3, "num_classes": 5, **options}
    model = timm.create_model(name, pretrained=False, **small).eval()
    for key, value in model.named_parameters():
        if key.endswith("gamma"):  # DINOv2's layer scale starts at 1e-5: nothing would reach the output
            torch.nn.init.ones_(value)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, tuple]:
    """Of each: the model, its blocks, how many cls and register tokens it has, and pixels."""
    import open_clip

    vision = {"image_size": 64, "patch_size": 16, "width": 32, "head_width": 16, "layers": 3}
    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
    wrapped = {"timm_model_name": "test_vit3", "timm_pool": "map", "timm_proj": "none", "image_size": 160}
    folder = tmp_path_factory.mktemp("open_clip")
    for name, of in (("running", vision), ("running-timm", wrapped)):
        config = {"embed_dim": 16, "vision_cfg": of, "text_cfg": text}
        Path(folder, f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    plain = timm_model("vit_tiny_patch16_224", img_size=64)
    registers = timm_model("vit_small_patch14_reg4_dinov2", img_size=(56, 84))
    eva = timm_model("eva02_tiny_patch14_224", img_size=56)
    torch.manual_seed(1)
    clip, siglip = (open_clip.create_model(name).eval() for name in ("running", "running-timm"))
    return {
        "timm": (plain, plain.blocks, 1, 0, (64, 64)),
        "timm with registers": (registers, registers.blocks, 1, 4, (56, 84)),
        "timm eva": (eva, eva.blocks, 1, 0, (56, 56)),
        "open_clip": (clip, clip.visual.transformer.resblocks, 1, 0, (64, 64)),
        "open_clip's tower": (clip.visual, clip.visual.transformer.resblocks, 1, 0, (64, 64)),
        "open_clip of timm": (siglip, siglip.visual.trunk.blocks, 0, 1, (160, 160)),
    }


def output(model, pixels):
    """What the library's own user calls."""
    with torch.inference_mode():
        return model.encode_image(pixels) if hasattr(model, "encode_image") else model(pixels)


def sae_of(d: int, kinds: tuple[str, ...] = ("patch",), layer: int | None = 1) -> SAE:
    generator = torch.Generator().manual_seed(3)
    sae = SAE(TopK(d_sae=S, k=9), 0.1 * torch.randn(d, generator=generator), 0.8).requires_grad_(False)
    if layer is not None:
        sae.origin = Origin("a model", "of weights", "and geometry", layer, kinds, "of images")
    return sae


def by_hand(sae, latents, new_codes, positions, mask=None):
    """A hook that decodes the whole edited code: x' = (x - x_hat) + decode(f')."""

    def hook(block, args, x):
        out = x.clone()
        for b in range(len(x)):
            for t in positions:
                if mask is not None and not mask[b, t]:
                    continue
                token = x[b, t][None]
                f = sae.encode(token)
                new = f.clone()
                for latent, becomes in zip(latents, new_codes, strict=True):
                    new[0, latent] = becomes(float(f[0, latent]))
                out[b, t] = ((token - sae.decode(f)) + sae.decode(new))[0]
        return out

    return hook


PLAIN = [("patch",), ("cls",), ("cls", "patch")]
KINDS = {
    "timm": PLAIN,
    "timm with registers": [("patch",), ("cls",), ("register",), ("cls", "register", "patch")],
    "timm eva": PLAIN,
    "open_clip": PLAIN,
    "open_clip's tower": PLAIN,
    "open_clip of timm": [("patch",), ("register",), ("register", "patch")],
}
"""Of each model, what an SAE may read."""


@pytest.mark.parametrize(("name", "kinds"), [(name, kinds) for name in KINDS for kinds in KINDS[name]])
def test_an_edit_is_a_hook_written_by_hand(models, name, kinds):
    model, blocks, n_cls, n_register, size = models[name]
    first = n_cls + n_register
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(7))
    seen = []
    watching = blocks[1].register_forward_hook(lambda block, args, x: seen.append(x))
    before = output(model, pixels)
    watching.remove()
    n, d = seen[0].shape[1:]
    spans = {"cls": range(n_cls), "register": range(n_cls, first), "patch": range(first, n)}
    positions = [t for kind in kinds for t in spans[kind]]
    sae = sae_of(d, kinds)
    f = sae.encode(seen[0][:, positions].flatten(0, 1))
    latents = (f > 0).sum(0).topk(3).indices.tolist()
    top = float(f.max())
    codes = {
        latents[0]: -0.5 * top,
        latents[1]: lambda f: 2 * f + 0.3,
        latents[2]: lambda f: f.clamp(max=0.1 * top),
    }
    new = [lambda f: -0.5 * top, lambda f: 2 * f + 0.3, lambda f: min(f, 0.1 * top)]
    handle = blocks[1].register_forward_hook(by_hand(sae, latents, new, positions))
    expected = output(model, pixels)
    handle.remove()
    with edited(model, sae, codes, layer=1):
        found = output(model, pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (found - before).abs().max() > 1e-3  # something was there to be seen
    assert torch.equal(output(model, pixels), before)


@pytest.mark.parametrize("where", ["active", "grid", "of each image"])
def test_where_an_edit_acts(models, where):
    model, blocks, _, _, size = models["timm"]
    pixels = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(8))
    sae, seen = sae_of(24), []
    watching = blocks[1].register_forward_hook(lambda block, args, x: seen.append(x))
    output(model, pixels)
    watching.remove()
    f_bps = sae.encode(seen[0][:, 1:].flatten(0, 1)).reshape(3, 16, S)
    latent = int((f_bps > 0).sum((0, 1)).argmax())
    mask_bt = torch.zeros(3, 17, dtype=torch.bool)
    if where == "active":
        given = "active"
        mask_bt[:, 1:] = f_bps[..., latent] > 0
    else:
        given = torch.rand((4, 4) if where == "grid" else (3, 4, 4)) > 0.5
        mask_bt[:, 1:] = given.reshape(-1, 16)
        given = given.numpy() if where == "grid" else given
    assert mask_bt.any() and not mask_bt[:, 1:].all()
    hand = by_hand(sae, [latent], [lambda f: -3.0], range(1, 17), mask_bt)
    handle = blocks[1].register_forward_hook(hand)
    expected = output(model, pixels)
    handle.remove()
    with edited(model, sae, {latent: np.float32(-3)}, where=given):
        found = output(model, pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


STRENGTHS = {"set": -2.0, "ablate": 0.0, "scale": 3.0, "add": 0.5, "clamp": 0.25}
AS_FUNCTION = {
    "set": lambda maximum: -2.0 * maximum,
    "ablate": lambda maximum: 0,
    "scale": lambda maximum: lambda f: 3.0 * f,
    "add": lambda maximum: lambda f: f + 0.5 * maximum,
    "clamp": lambda maximum: lambda f: f.clamp(max=0.25 * maximum),
}


@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("kinds", [("patch",), ("cls",), ("cls", "patch")])
def test_an_edit_is_that_of_the_experiments(stores, tiny_vit, image_task, kind, kinds):
    """The logits that a Continuation gives of recorded tokens are those of the model that is run with the
    edit on the same images; the store holds float16."""
    from saev.data import Mosaic

    setup = opened(stores, tiny_vit, image_task, kinds)
    setup.sae.origin = setup.tokens.origin
    latents = tuple(liveliest(setup, 3))
    trial = Trial(setup, target=0, latents=latents, seed=0)
    change = trial.edit(latents, kind, STRENGTHS[kind])
    expected = setup.model.logits(change_btd=setup.whole(change.change()))
    images = Mosaic(split="val", n=12, size=64)
    pixels = torch.from_numpy(np.stack([tiny_vit.preprocess.crop(images[i].image) for i in range(12)]))
    codes = {s: AS_FUNCTION[kind](setup.train.maximum[s]) for s in latents}
    with torch.inference_mode(), edited(tiny_vit, setup.sae, codes):
        final = tiny_vit(tiny_vit.preprocess.normalise(pixels))
    found = image_task.logits(tiny_vit, final)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    assert (expected - setup.before_buc).abs().max() > 0.1 or kind in ("ablate", "clamp")


def test_a_model_is_restored_after_an_error_and_edits_nest(models):
    model, _, _, _, size = models["timm"]
    pixels, sae = torch.randn(1, 3, *size), sae_of(24)
    late = sae_of(24, ("cls",), layer=2)
    before = output(model, pixels)
    with pytest.raises(RuntimeError, match="on purpose"):
        with edited(model, sae, {0: 50.0}):
            raise RuntimeError("on purpose")
    assert torch.equal(output(model, pixels), before)
    with edited(model, sae, {0: 50.0}):
        once = output(model, pixels)
        with edited(model, late, {5: 50.0}, layer=-1):
            assert not torch.allclose(output(model, pixels), once)
        assert torch.equal(output(model, pixels), once)
    assert not torch.allclose(once, before)
    assert torch.equal(output(model, pixels), before)
    assert all(not module._forward_hooks for module in model.modules())


def test_the_parts_of_a_model_in_bf16_are_edited_in_float32(models):
    """Codes are those of float32 also where the model computes in bf16, as a study's machine may."""
    model, blocks, _, _, size = models["timm"]
    pixels, sae, seen = torch.randn(2, 3, *size), sae_of(24), []
    with torch.autocast("cpu", torch.bfloat16), edited(model, sae, {1: -4.0, 7: lambda f: 3 * f}):
        watching = blocks[1].register_forward_hook(lambda block, args, x: seen.extend((args[0], x)))
        output(model, pixels)
    watching.remove()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        x = blocks[1](seen[0])
    f = sae.encode(x[:, 1:].float().flatten(0, 1))
    new = f.clone()
    new[:, 1], new[:, 7] = -4.0, 3 * f[:, 7]
    expected = x.clone().float()
    expected[:, 1:] += ((new - f) @ sae.W_dec * sae.scale).reshape(2, 16, 24)
    torch.testing.assert_close(seen[1].float(), expected, rtol=1e-5, atol=1e-5)


def wrong(model, sae, codes, **options):
    with edited(model, sae, codes, **options):
        output(model, torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": {}}, "codes must be {latent: what its code becomes}, got {}"),
        ({"codes": {S: 1.0}}, f"latent must be an integer in [0, {S - 1}], got {S}"),
        ({"codes": {"36": 1.0}}, f"latent must be an integer in [0, {S - 1}], got '36'"),
        ({"codes": {3: float("nan")}}, "the code of latent 3 must be a number"),
        ({"codes": {3: lambda f: 1.0}}, "a function of codes must return as many, (1, 16), got 1.0"),
        ({"layer": 3}, "layer must be an integer in [-3, 2] of this model, got 3"),
        ({"layer": 2}, "layer must be 1, whose tokens the SAE was trained on, got 2"),
        ({"kinds": ["cls"]}, "kinds must be a list of patch, which the SAE reads, got ['cls']"),
        ({"kinds": "patch"}, "kinds must be a list of patch, which the SAE reads, got 'patch'"),
        ({"where": "selected"}, "where must be all, active, or a bool mask of patches, got 'selected'"),
        ({"where": torch.ones(4, 4)}, "where must be all, active, or a bool mask of patches, got tensor"),
        (
            {"where": torch.ones(3, 5, dtype=torch.bool)},
            "where must be a mask of 16 patches, or so many of each of 1 images, got one of shape (3, 5)",
        ),
        (
            {"sae": sae_of(24, layer=None)},
            "layer must be given, since this SAE does not know of which layer it is",
        ),
        ({"sae": sae_of(32)}, "the model's tokens have width 24, the SAE was trained on width 32"),
        (
            {"sae": sae_of(24, ("meanpool",))},
            "the model has no meanpool token that an edit could change",
        ),
        ({"sae": sae_of(24, ("register",))}, "the model has no register token that an edit could change"),
        (
            {"model": torch.nn.Linear(2, 2)},
            "the model must be a VisionTransformer or Eva of timm, an open_clip model with a ViT, or a "
            "Backbone, got a Linear",
        ),
    ],
)
def test_what_cannot_be_edited_is_refused_in_one_line(models, options, message):
    given = {"model": models["timm"][0], "sae": sae_of(24), "codes": {3: 1.0}, **options}
    with pytest.raises(SaevError) as error:
        wrong(**given)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_backbone_is_edited_as_the_model_within(models):
    """saev's own cut runs the same blocks, and the projection after them is open_clip's."""
    backbone, sae, pixels = open_clip_vit(model="running"), sae_of(32), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        with edited(backbone, sae, {4: 20.0}):
            one = backbone.output(backbone(pixels))
        with edited(backbone.model, sae, {4: 20.0}):
            other = backbone.model(pixels)
        assert not torch.allclose(one, backbone.model(pixels))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("where", ["active", torch.arange(16).reshape(4, 4) % 3 == 0], ids=["active", "mask"])
def test_on_another_device(tiny_vit, elsewhere, where):
    """The SAE stays behind: the pretend device cannot be indexed by lists, as `edit_latents` indexes rows."""
    sae, pixels = sae_of(24), torch.randn(2, 3, 64, 64)
    codes = {4: -3.0, 9: lambda f: 2 * f}
    with torch.no_grad():
        with edited(tiny_vit.model, sae, codes, where=where):
            expected = tiny_vit.model(pixels)
        model = copy.deepcopy(tiny_vit.model).to(elsewhere.device)
        with edited(model, sae, codes, where=where):
            found = model(pixels.to(elsewhere.device))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)
