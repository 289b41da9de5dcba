"""SAELens' folder: `cfg.json` and `sae_weights.safetensors` (read and written by SAELens 6).

SAELens takes raw activations and knows no mean, so the normalisation is put into the weights:

    W_enc' = W_enc / scale     b_enc' = b_enc     W_dec' = W_dec * scale     b_dec' = b_dec * scale + mean

With `apply_b_dec_to_input`, (x - b_dec') W_enc' + b_enc' = ((x - mean) / scale - b_dec) W_enc + b_enc: the
same codes and reconstruction, and x is centred before the product, so nothing cancels at a large mean.
BatchTopK becomes a JumpReLU with its running threshold, as SAELens itself saves it.
"""

from pathlib import Path

import torch

from saev.errors import SaevError
from saev.files import write_by, write_json
from saev.outputs import new_directory
from saev.sae.architectures import BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats.assembly import assemble
from saev.sae.formats.reading import folder_with, integer, of, read_json, read_safetensors, renamed, same
from saev.sae.model import SAE, Architecture

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
FILES = {r"cfg\.json": '"sae_lens_version"', r"sae_weights\.safetensors": None}
"""By which the folder is known (saev/outputs.py)."""
VERSION = "6.0.0"
"""The first SAELens with this format. A folder that names none is taken for an older one, and its metadata
dropped."""

TRAINING = ("batchtopk", "matryoshka_batchtopk")
"""What it trains and then saves as a jumprelu: in checkpoints of a training only."""
KINDS = ("standard", "topk", "jumprelu", "gated", *TRAINING)
EXTRA = {
    "jumprelu": {"theta": "threshold"},
    "gated": {"r_mag": "r_mag", "b_mag": "b_mag"},
    **{kind: {"theta": "topk_threshold"} for kind in TRAINING},
}


def save_sae_lens(sae: SAE, path: str | Path, **metadata: object) -> None:
    """Write `sae` to the folder `path` for `sae_lens.SAE.load_from_disk`.

    Args:
        metadata: for example model_name, hook_name.

    Raises:
        SaevError: its architecture has no counterpart.
    """
    from safetensors.torch import save_file

    architecture = sae.architecture
    if not isinstance(architecture, (TopK, BatchTopK, ReLU, JumpReLU, Gated)):
        raise SaevError(
            f"{path}: SAELens' format is written for TopK, BatchTopK, ReLU, JumpReLU and Gated, "
            f"not {type(architecture).__name__}"
        )
    W_enc, W_dec = sae.W_enc.detach(), sae.W_dec.detach()
    tensors = {
        "W_enc": W_enc / sae.scale,
        "b_enc": sae.b_enc.detach(),
        "W_dec": W_dec * sae.scale,
        "b_dec": sae.b_dec.detach() * sae.scale + sae.mean,
    }
    config = {
        "d_in": sae.d,
        "d_sae": sae.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": VERSION, **metadata},
    }
    if isinstance(architecture, TopK):
        config |= {"architecture": "topk", "k": architecture.k, "rescale_acts_by_decoder_norm": False}
    elif isinstance(architecture, ReLU):
        config |= {"architecture": "standard"}
    elif isinstance(architecture, Gated):
        config |= {"architecture": "gated"}
        tensors |= {"b_gate": tensors.pop("b_enc"), "r_mag": sae.r_mag, "b_mag": sae.b_mag}
    else:
        config |= {"architecture": "jumprelu"}
        threshold = (
            sae.theta.detach()
            if isinstance(architecture, JumpReLU)
            else sae.threshold.clamp(min=0).expand(sae.d_sae)
        )
        tensors["threshold"] = threshold
    tensors = {key: value.detach().float().cpu().contiguous() for key, value in tensors.items()}
    with new_directory(path, FILES) as folder:
        write_by(lambda file: save_file(tensors, file), folder / WEIGHTS)
        write_json(folder / CONFIG, config)


def load_sae_lens(source: str | Path) -> SAE:
    """Read a folder of SAELens: standard, topk, jumprelu, gated, and its training checkpoints of batchtopk.

        f = select((x - b_dec) W_enc + b_enc)     x_hat = f W_dec + b_dec

    What its encoder subtracts becomes `mean`; scale is 1, and the weights stay as they are. Where codes are
    scaled by the decoder's norms, as SAELens trains a TopK, the norms are folded into the encoder. Folders
    older than SAELens 6 are read too. Input normalisation is not.

    Args:
        source: the folder, or `hf://owner/name`.

    Raises:
        SaevError: no such folder, damaged, or options that change the formula and are not supported.
    """
    folder = folder_with(source, [CONFIG, WEIGHTS], "SAELens")
    config, found = read_json(folder / CONFIG), read_safetensors(folder / WEIGHTS)
    with of(folder / CONFIG):
        kind = _kind(config)
    gated = kind == "gated"
    with of(folder / WEIGHTS):
        names = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
        tensors = renamed(found, names | ({"b_enc": "b_gate"} if gated else {}))
        extra = renamed(found, EXTRA.get(kind, {}))
        if tensors["W_enc"].dim() != 2:
            raise SaevError(f"W_enc has shape {tuple(tensors['W_enc'].shape)}, it must have two axes")
        if kind == "standard" and "threshold" in found:
            raise SaevError("threshold is given, which architecture standard does not have")
    d, s = tensors["W_enc"].shape
    with of(folder / CONFIG):
        same(config, "d_in", d)
        same(config, "d_sae", s)
        architecture = _architecture(kind, config, s)
    if kind in TRAINING:  # one for all latents
        extra = {"theta": extra["theta"].clamp(min=0).expand(s)}
    if config.get("rescale_acts_by_decoder_norm", False):
        norms = torch.linalg.vector_norm(tensors["W_dec"].float(), dim=-1).clamp(min=1e-8)
        if len(norms) != s:
            raise SaevError(f"{folder / WEIGHTS}: W_dec has {len(norms)} rows, W_enc {s} columns")
        tensors |= {
            "W_enc": tensors["W_enc"] * norms,
            "b_enc": tensors["b_enc"] * norms,
            "W_dec": tensors["W_dec"] / norms[:, None],
        }
    centred = config.get("apply_b_dec_to_input", True)
    mean = tensors["b_dec"] if centred else 0.0
    if centred:
        tensors["b_dec"] = torch.zeros_like(tensors["b_dec"])
    with of(folder / WEIGHTS):
        return assemble(architecture, tensors, subtracts_b_dec=centred, extra=extra, mean=mean)


def _kind(config: dict) -> str:
    """The architecture. Raises SaevError if an option is not read."""
    for option, read in (
        ("normalize_activations", ("none", None, False)),  # the last two: older than SAELens 6
        ("reshape_activations", ("none",)),
        ("activation_fn", ("relu", "topk")),
        ("activation_fn_str", ("relu", "topk")),
        ("finetuning_scaling_factor", (False, None)),
        ("apply_b_dec_to_input", (True, False)),
        ("rescale_acts_by_decoder_norm", (True, False)),
    ):
        if config.get(option, read[0]) not in read:
            only = " or ".join(repr(value) for value in read)
            raise SaevError(f"{option} is {config[option]!r}, only {only} is read")
    kind = config.get("architecture", "standard" if "metadata" not in config else None)
    if kind == "standard" and "topk" in (config.get("activation_fn"), config.get("activation_fn_str")):
        kind = "topk"
    if kind not in KINDS:
        raise SaevError(f"architecture is {kind!r}, only {', '.join(KINDS)} are read")
    return kind


def _architecture(kind: str, config: dict, d_sae: int) -> Architecture:
    if kind != "topk":
        return {"standard": ReLU, "gated": Gated}.get(kind, JumpReLU)(d_sae=d_sae)
    older = config.get("activation_fn_kwargs")  # than SAELens 6
    return TopK(d_sae=d_sae, k=integer(config if "k" in config else older or {}, "k"))
