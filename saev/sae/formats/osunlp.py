"""The public checkpoints of arXiv 2502.06755 and its successors: `osunlp/SAE_*` on the Hugging Face hub.

`sae.pt` is one line of JSON and then a torch state dict, which is read as tensors only. Files
without a schema, and those of schema 1 with a class name, have an encoder that subtracts b_dec;
later ones do not. The three without a schema (DINOv2, CLIP, BioCLIP; ViT-B) were trained on
normalised activations, and their constants are not in the file: give them as `mean` and `scale`.
"""

import io
import json
from pathlib import Path

from torch import Tensor

from saev.errors import SaevError, first_line
from saev.sae.architectures import BatchTopK, ReLU, TopK
from saev.sae.formats.assembly import assemble
from saev.sae.formats.hub import fetch
from saev.sae.formats.reading import integer, measured, of, read_torch
from saev.sae.model import SAE, Architecture

OLD = ("Relu", "TopK", "BatchTopK")


def load_osunlp(
    source: str | Path,
    *,
    mean: Tensor | float | None = None,
    scale: float | None = None,
    subtracts_b_dec: bool | None = None,
    threshold: float | None = None,
) -> SAE:
    """Read a public checkpoint.

        z = (x - mean) / scale    f = select(z W_enc + b_enc)    x_hat = scale * (f W_dec + b_dec) + mean

    with z - b_dec in the old encoders. Theirs keeps negative values among the k of a TopK SAE; ours makes
    them 0.

    Args:
        source: a file `sae.pt`, or a hub id such as `osunlp/SAE_DINOv2_24K_ViT-B-14_IN1K`, also with `hf://`.
        mean, scale: the normalisation it was trained with. Files that subtract b_dec by their schema are of
            the time when there was one, so they want both, or `mean=0` for none; later ones had none.
        subtracts_b_dec: whether its encoder takes z - b_dec; None: by the schema. (Files written in July 2025
            on the day of the change bear the old schema and do not.)
        threshold: for a BatchTopK written before November 2025, whose file has none.

    Raises:
        SaevError: no such file or repository, not of this format, or without its normalisation or threshold.
    """
    path = _find(str(source))
    with open(path, "rb") as file:
        line, rest = file.readline(), file.read()
    try:
        header = json.loads(line)
    except ValueError as error:
        raise SaevError(f"{path}: its first line is not JSON ({first_line(error)})") from None
    found = read_torch(path, io.BytesIO(rest))
    with of(path):
        if "W_enc" not in found or found["W_enc"].dim() != 2:
            raise SaevError("W_enc (d, s) is missing")
        architecture, old = _architecture(header, found["W_enc"].shape[1])
        if old and (mean is None or (scale is None and not _is_zero(mean))):
            raise SaevError(
                "it may be of normalised activations, and does not say; give mean= and scale=, or mean=0"
            )
        extra = {}
        if isinstance(architecture, BatchTopK):
            kept = found.get("activation.threshold") if threshold is None else threshold
            extra = {"threshold": measured(kept, "activation.threshold")}
        return assemble(
            architecture,
            found,
            subtracts_b_dec=old if subtracts_b_dec is None else subtracts_b_dec,
            extra=extra,
            mean=0.0 if mean is None else mean,
            scale=1.0 if scale is None else scale,
        )


def _is_zero(mean: Tensor | float) -> bool:
    return not isinstance(mean, Tensor) and mean == 0


def _find(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)
    path = fetch(source, ["sae.pt"]) / "sae.pt"
    if not path.is_file():
        raise SaevError(f"{source}: neither a file nor a repository with sae.pt")
    return path


def _architecture(header: object, d_sae: int) -> tuple[Architecture, bool]:
    """(architecture, whether the encoder subtracts b_dec) from the header of any schema."""
    if not isinstance(header, dict):
        raise SaevError(f"its first line must be a JSON object, got {header!r}")
    schema, cfg = header.get("schema", 0), header.get("cfg", header)
    if type(schema) is not int or not 0 <= schema <= 5 or not isinstance(cfg, dict):
        raise SaevError(f"schema {schema!r} with cfg {type(cfg).__name__}; read are schemas 0 to 5")
    old = schema == 0 or (schema == 1 and header.get("cls") in OLD)
    if schema == 0:
        name, options = "Relu", {}
    elif old:
        name, options = header["cls"], cfg
    else:
        activation = cfg.get("activation")
        if not isinstance(activation, dict):
            raise SaevError(f"schema {schema}: cfg.activation is {activation!r}, it must say which of {OLD}")
        # The tag of a nested value was spelt in several ways within days.
        name = next((activation[tag] for tag in ("cls", "kind", "key") if tag in activation), None)
        options = activation.get("params", activation)
    if name not in OLD:
        raise SaevError(f"schema {schema} with activation {name!r}; read are {', '.join(OLD)}")
    if name == "Relu":
        return ReLU(d_sae=d_sae), old
    return {"TopK": TopK, "BatchTopK": BatchTopK}[name](d_sae=d_sae, k=integer(options, "top_k")), old
