"""The public checkpoints of arXiv 2502.06755 and its successors: `osunlp/SAE_*` on the Hugging Face hub.

`sae.pt` is one line of JSON and then a torch state dict. With W = W_enc (d, s) and W_dec (s, d):

    f     = act(z W + b_enc)            in files without a schema, and of schema 1 with a class name,
                                        act((z - b_dec) W + b_enc)
    z_hat = f W_dec + b_dec

Those of the second kind were trained on normalised activations, z = (x - mean) / scale, and the constants are
not in the file; later ones take z = x.
"""

import io
import json
from pathlib import Path

from torch import Tensor

from saev.errors import SaevError, first_line
from saev.sae.architectures import BatchTopK, ReLU, TopK
from saev.sae.formats.assembly import assemble, batch_threshold, no_threshold
from saev.sae.formats.hub import local
from saev.sae.formats.reading import check_said, need, read_state_dict, rename, within
from saev.sae.model import SAE, Architecture

WEIGHTS = "sae.pt"
_KINDS = {"Relu": ReLU, "TopK": TopK, "BatchTopK": BatchTopK}


def load_osunlp(
    source: str | Path,
    *,
    mean: Tensor | float | None = None,
    scale: float | None = None,
    subtracts_b_dec: bool | None = None,
    threshold: float | None = None,
) -> SAE:
    """Read a public checkpoint.

    Theirs keeps negative values among the k of a TopK SAE; ours makes them 0.

    Args:
        source: `sae.pt`, its folder, or an address such as `hf://osunlp/SAE_DINOv2_24K_ViT-B-14_IN1K`.
        mean, scale: the normalisation it was trained with, which files of the second kind need; mean=0 says
            that there was none.
        subtracts_b_dec: whether its encoder takes z - b_dec; None: by the schema. (Files written in July 2025
            on the day of the change bear the old schema and do not.)
        threshold: of a BatchTopK, which files before November 2025 do not hold (theirs ranks the batch).

    Raises:
        SaevError: no such file or repository, not of this format, or one of the above is needed.
    """
    path = local(source, [WEIGHTS])
    path = need(path, WEIGHTS) if path.is_dir() else need(path.parent, path.name)
    with within(path):
        header, tensors = _read(path)
        old, name, options = _activation(header)
        names = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
        if name == "BatchTopK":
            tensors["threshold"] = batch_threshold(tensors.pop("activation.threshold", None), threshold)
            names["threshold"] = "threshold"
        else:
            no_threshold(threshold, name)
        tensors = rename(tensors, names)
        d, s = tensors["b_dec"].numel(), tensors["b_enc"].numel()
        check_said(header.get("cfg", header), d_vit=d, d_model=d, d_sae=s)
        if old:
            if mean is None:
                raise SaevError(
                    "it was trained on normalised activations, and does not hold the constants: give mean "
                    "and scale of its data, or mean=0 if it was trained without"
                )
            if scale is None and not _is_zero(mean):
                raise SaevError("mean is given without its scale")
        return assemble(
            _architecture(name, options, s),
            tensors,
            subtracts_b_dec=old if subtracts_b_dec is None else subtracts_b_dec,
            mean=0.0 if mean is None else mean,
            scale=1.0 if scale is None else scale,
        )


def _read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    line, _, rest = path.read_bytes().partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError as error:
        raise SaevError(f"does not begin with a line of JSON: {first_line(error)}") from None
    if not isinstance(header, dict) or not isinstance(header.get("cfg", {}), dict):
        raise SaevError("its first line must be a JSON object, and cfg in it one as well")
    return header, read_state_dict(io.BytesIO(rest))


def _activation(header: dict) -> tuple[bool, str, dict]:
    """(whether the encoder subtracts b_dec, name, options) from the header of any schema."""
    schema, cfg = header.get("schema", 0), header.get("cfg", header)
    if type(schema) is not int or not 0 <= schema <= 5:
        raise SaevError(f"schema is {schema!r}; read are 0 (no schema) to 5")
    if schema == 0:
        return True, "Relu", {}
    if schema == 1 and "activation" not in cfg:
        name, options = header.get("cls"), {"top_k": 32, **cfg}
    else:
        activation = cfg.get("activation")
        activation = activation if isinstance(activation, dict) else {}
        # The tag of a nested value was spelt in several ways within days.
        name = next((activation[tag] for tag in ("cls", "kind", "key") if tag in activation), None)
        options = activation.get("params", activation)
        options = options if isinstance(options, dict) else {}
    if name not in [*_KINDS]:
        raise SaevError(f"schema {schema} with activation {name!r}; read are {', '.join(_KINDS)}")
    return schema == 1 and "activation" not in cfg, name, options


def _architecture(name: str, options: dict, d_sae: int) -> Architecture:
    if name == "Relu":
        return ReLU(d_sae=d_sae)
    if "top_k" not in options:
        raise SaevError(f"no top_k in the header, which the activation {name} needs")
    return _KINDS[name](d_sae=d_sae, k=options["top_k"])


def _is_zero(mean: Tensor | float) -> bool:
    return not isinstance(mean, Tensor) and mean == 0
