"""SAELens' folder: `cfg.json` and `sae_weights.safetensors` (written for SAELens 6, read of any version).

SAELens takes raw activations and knows no mean, but its encoder takes x - b_dec', so ours is written as

    W_enc' = W_enc / scale        b_enc' = b_enc
    W_dec' = W_dec * scale        b_dec' = b_dec * scale + mean

which gives the same codes and the same reconstruction, without cancellation where the mean is large.
BatchTopK becomes a JumpReLU with its running threshold, as SAELens itself saves it for inference.
"""

import math
from pathlib import Path

import torch

from saev.errors import SaevError
from saev.files import write_by, write_json
from saev.outputs import new_directory
from saev.sae.architectures import BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats.assembly import assemble, batch_threshold, unit_rows
from saev.sae.formats.hub import local
from saev.sae.formats.reading import check_said, need, read_config, read_tensors, rename, within
from saev.sae.model import SAE

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
FILES = {r"cfg\.json": '"sae_lens_version"', r"sae_weights\.safetensors": None}
"""By which the folder is known (saev/outputs.py)."""
VERSION = "6.0.0"
"""The first SAELens with this format. A folder that names none is taken for an older one, and its metadata
dropped."""
_WRITTEN = {TopK: "topk", BatchTopK: "jumprelu", ReLU: "standard", JumpReLU: "jumprelu", Gated: "gated"}
_READ = {
    "standard": ReLU,
    "topk": TopK,
    "jumprelu": JumpReLU,
    "gated": Gated,
    "batchtopk": BatchTopK,
    "matryoshka_batchtopk": BatchTopK,
}
_OWN = {
    JumpReLU: {"theta": "threshold"},
    BatchTopK: {"threshold": "topk_threshold"},
    Gated: {"b_enc": "b_gate", "r_mag": "r_mag", "b_mag": "b_mag"},
}
"""What an architecture's tensors are called, beside the four that all share."""


def save_sae_lens(sae: SAE, path: str | Path, **metadata: object) -> None:
    """Write `sae` to the folder `path` for `sae_lens.SAE.load_from_disk`.

    Args:
        metadata: for example model_name, hook_name.

    Raises:
        SaevError: its architecture has no counterpart, or a value is not finite.
    """
    from safetensors.torch import save_file

    architecture = sae.architecture
    kind = type(architecture)  # a subclass may have another formula
    if kind not in _WRITTEN:
        known = ", ".join(each.__name__ for each in _WRITTEN)
        raise SaevError(f"{path}: SAELens' format is written for {known}, not {kind.__name__}")
    with within(path):
        sae.check_values()
    tensors = {
        "W_enc": sae.W_enc / sae.scale,
        "b_enc": sae.b_enc,
        "W_dec": sae.W_dec * sae.scale,
        "b_dec": sae.b_dec * sae.scale + sae.mean,
    }
    config = {
        "architecture": _WRITTEN[kind],
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
        config |= {"k": architecture.k, "rescale_acts_by_decoder_norm": False}
    elif kind is BatchTopK:
        tensors["threshold"] = sae.threshold.clamp(min=0).expand(sae.d_sae)
    elif kind is JumpReLU:
        tensors["threshold"] = sae.theta
    elif kind is Gated:
        tensors |= {"b_gate": tensors.pop("b_enc"), "r_mag": sae.r_mag, "b_mag": sae.b_mag}
    tensors = {key: value.detach().float().cpu().contiguous() for key, value in tensors.items()}
    with new_directory(path, FILES) as folder:
        write_by(lambda file: save_file(tensors, file), folder / WEIGHTS)
        write_json(folder / CONFIG, config)


def load_sae_lens(source: str | Path) -> SAE:
    """Read a folder of SAELens, for inference or a training checkpoint, of any version.

        pre = (x - b_dec) W_enc + b_enc         or x W_enc + b_enc, unless `apply_b_dec_to_input`
        x_hat = f W_dec + b_dec

    Where codes are scaled by the decoder's norms, which is how SAELens trains (Batch)TopK, these are folded
    into the encoder. (A BatchTopK's k may be a fraction there, and is rounded: codes need the threshold.)

    Args:
        source: the folder, or an address `hf://owner/name/folder`.

    Raises:
        SaevError: no such folder or repository, damaged, or of another formula: another architecture,
            normalisation of the input, reshaping, another activation, scaling factors.
    """
    folder = local(source, [CONFIG, WEIGHTS])
    file, weights = need(folder, CONFIG), need(folder, WEIGHTS)
    config, tensors = read_config(file), read_tensors(weights)
    with within(file):
        name, k = _architecture(config)
    with within(weights):
        if bool((tensors.get("scaling_factor", torch.ones(1)) == 1).all()):  # of old folders
            tensors.pop("scaling_factor", None)
        if "log_threshold" in tensors:  # of old training checkpoints
            tensors["threshold"] = tensors.pop("log_threshold").exp()
        names = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")} | _OWN.get(_READ[name], {})
        tensors = rename(tensors, names)
        if _READ[name] is BatchTopK:
            found = tensors["threshold"]
            tensors["threshold"] = batch_threshold(found if found.any() else None, None)  # 0: never updated
    with within(file):
        d, s = tensors["b_dec"].numel(), tensors["b_enc"].numel()
        check_said(config, d_in=d, d_sae=s)
        architecture = _READ[name](d_sae=s, **_options(name, k, config.get("matryoshka_widths"), s))
    with within(weights):
        sae = assemble(architecture, tensors, subtracts_b_dec=config.get("apply_b_dec_to_input", True))
        return unit_rows(sae) if config.get("rescale_acts_by_decoder_norm", False) else sae


def _architecture(config: dict) -> tuple[str, object]:
    """(its name, k) from a config of any version. Raises SaevError if it means another formula."""
    activation = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    name = config.get("architecture", "standard")
    if name == "standard" and activation == "topk":  # so before SAELens 6
        name, activation = "topk", "relu"
        config = {**config, "k": (config.get("activation_fn_kwargs") or {}).get("k")}
    for option, found, supported in (
        ("architecture", name, tuple(_READ)),
        ("activation_fn", "relu" if name == "topk" else activation, ("relu",)),
        ("normalize_activations", config.get("normalize_activations"), ("none", None, False)),
        ("reshape_activations", config.get("reshape_activations", "none"), ("none",)),
        ("finetuning_scaling_factor", config.get("finetuning_scaling_factor", False), (False, None)),
        ("apply_b_dec_to_input", config.get("apply_b_dec_to_input", True), (True, False)),
    ):
        if found not in supported:
            raise SaevError(f"{option} is {found!r}; read are {', '.join(map(repr, supported))}")
    return name, config.get("k")


def _options(name: str, k: object, widths: object, d_sae: int) -> dict:
    """Ours: k, and Matryoshka widths, which theirs end with the whole dictionary."""
    if "topk" not in name:
        return {}
    if k is None:
        raise SaevError(f"no k there, which the architecture {name} needs")
    options = {"k": max(1, round(k)) if isinstance(k, float) and math.isfinite(k) else k}
    if isinstance(widths, list):
        options["prefixes"] = tuple(width for width in widths if width != d_sae)
    return options
