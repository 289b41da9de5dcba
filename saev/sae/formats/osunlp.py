"""The public checkpoints of arXiv 2502.06755 and its successors: `osunlp/SAE_*` on the Hugging Face hub.

`sae.pt` is one line of JSON and then a torch state dict, which is read as tensors only. Files
without a schema, and those of schema 1 with a class name, have an encoder that subtracts b_dec;
later ones do not. The three without a schema (DINOv2, CLIP, BioCLIP; ViT-B) were trained on
normalised activations, and their constants are not in the file: give them as `mean` and `scale`.
"""

import io
import json
from pathlib import Path

import torch
from torch import Tensor

from saev.errors import SaevError, first_line
from saev.sae.architectures import BatchTopK, ReLU, TopK
from saev.sae.formats.sae_lens import assemble
from saev.sae.model import SAE, Architecture


def load_osunlp(
    source: str | Path, *, mean: Tensor | None = None, scale: float = 1.0, subtracts_b_dec: bool | None = None
) -> SAE:
    """Read a public checkpoint.

    Theirs keeps negative values among the k of a TopK SAE; ours makes them 0.

    Args:
        source: a file `sae.pt`, or a hub id such as `osunlp/SAE_DINOv2_24K_ViT-B-14_IN1K`.
        mean, scale: the normalisation it was trained with, z = (x - mean) / scale.
        subtracts_b_dec: whether its encoder takes x - b_dec; None: by the schema. (Files written in July 2025
            on the day of the change bear the old schema and do not.)

    Raises:
        SaevError: no such file or repository, or not of this format.
    """
    path = _find(str(source))
    with open(path, "rb") as file:
        line, rest = file.readline(), file.read()
    try:
        header = json.loads(line)
        tensors = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
        shapes = {key: tuple(tensors[key].shape) for key in ("W_enc", "b_enc", "W_dec", "b_dec")}
    except Exception as error:
        raise SaevError(
            f"{source}: not a checkpoint of JSON and a state dict ({first_line(error)})"
        ) from None
    d, s = shapes["W_enc"]
    if shapes != {"W_enc": (d, s), "b_enc": (s,), "W_dec": (s, d), "b_dec": (d,)}:
        raise SaevError(f"{source}: shapes do not agree: {shapes}")
    architecture, old = _architecture(header, s, source)
    threshold = tensors.get("activation.threshold")
    return assemble(
        architecture,
        tensors,
        subtracts_b_dec=old if subtracts_b_dec is None else subtracts_b_dec,
        extra={"threshold": threshold},
        mean=mean,
        scale=scale,
    )


def _find(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, "sae.pt"))
    except Exception as error:
        raise SaevError(
            f"{source}: neither a file nor a repository with sae.pt ({first_line(error)})"
        ) from None


def _architecture(header: dict, d_sae: int, source: object) -> tuple[Architecture, bool]:
    """(architecture, whether the encoder subtracts b_dec) from the header of any schema."""
    schema, cfg = header.get("schema", 0), header.get("cfg", header)
    old = schema == 0 or (schema == 1 and header.get("cls") in ("Relu", "TopK", "BatchTopK"))
    if schema == 0:
        name, options = "Relu", {}
    elif old:
        name, options = header["cls"], cfg
    else:
        activation = cfg.get("activation") or {}
        # The tag of a nested value was spelt in several ways within days.
        name = next((activation[tag] for tag in ("cls", "kind", "key") if tag in activation), "Relu")
        options = activation.get("params", activation)
    if schema > 5 or name not in ("Relu", "TopK", "BatchTopK"):
        raise SaevError(
            f"{source}: schema {schema!r} with activation {name!r}; "
            f"read are schemas 0 to 5 with Relu, TopK, BatchTopK"
        )
    if name == "Relu":
        return ReLU(d_sae=d_sae), old
    return {"TopK": TopK, "BatchTopK": BatchTopK}[name](d_sae=d_sae, k=int(options.get("top_k", 32))), old
