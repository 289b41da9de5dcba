"""SAELens' folder: `cfg.json` and `sae_weights.safetensors` (read and written by SAELens 6).

SAELens takes raw activations and knows no mean, so the normalisation is folded into the weights:

    W_enc' = W_enc / scale        b_enc' = b_enc - (mean / scale + b_dec) W_enc
    W_dec' = W_dec * scale        b_dec' = b_dec * scale + mean

which gives the same codes and the same reconstruction. BatchTopK becomes a JumpReLU with its
running threshold, as SAELens itself saves it. Gated SAEs are not written.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from saev.errors import SaevError
from saev.files import write_by, write_json
from saev.outputs import new_directory
from saev.sae.architectures import BatchTopK, JumpReLU, ReLU, TopK
from saev.sae.model import SAE, Architecture

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
FILES = {r"cfg\.json": '"sae_lens_version"', r"sae_weights\.safetensors": None}
"""By which the folder is known (saev/outputs.py)."""
VERSION = "6.0.0"
"""The first SAELens with this format. A folder that names none is taken for an older one, and its metadata
dropped."""


def save_sae_lens(sae: SAE, path: str | Path, **metadata: object) -> None:
    """Write `sae` to the folder `path` for `sae_lens.SAE.load_from_disk`.

    Args:
        metadata: for example model_name, hook_name.

    Raises:
        SaevError: its architecture has no counterpart.
    """
    from safetensors.torch import save_file

    architecture = sae.architecture
    if not isinstance(architecture, (TopK, BatchTopK, ReLU, JumpReLU)):
        raise SaevError(
            f"{path}: SAELens' format is written for TopK, BatchTopK, ReLU and JumpReLU, "
            f"not {type(architecture).__name__}"
        )
    W_enc, W_dec = sae.W_enc.detach(), sae.W_dec.detach()
    tensors = {
        "W_enc": W_enc / sae.scale,
        "b_enc": sae.b_enc.detach() - (sae.mean / sae.scale + sae.b_dec.detach()) @ W_enc,
        "W_dec": W_dec * sae.scale,
        "b_dec": sae.b_dec.detach() * sae.scale + sae.mean,
    }
    config = {
        "d_in": sae.d,
        "d_sae": sae.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": VERSION, **metadata},
    }
    if isinstance(architecture, TopK):
        config |= {"architecture": "topk", "k": architecture.k, "rescale_acts_by_decoder_norm": False}
    elif isinstance(architecture, ReLU):
        config |= {"architecture": "standard"}
    else:
        config |= {"architecture": "jumprelu"}
        threshold = (
            sae.theta.detach()
            if isinstance(architecture, JumpReLU)
            else sae.threshold.clamp(min=0).expand(sae.d_sae)
        )
        tensors["threshold"] = threshold
    tensors = {key: value.float().cpu().contiguous() for key, value in tensors.items()}
    with new_directory(path, FILES) as folder:
        write_by(lambda file: save_file(tensors, file), folder / WEIGHTS)
        write_json(folder / CONFIG, config)


def load_sae_lens(path: str | Path) -> SAE:
    """Read a folder of SAELens: architectures standard, topk, jumprelu, without input normalisation.

    The SAE gets mean 0 and scale 1, its weights taken as they are. Where a TopK's codes are scaled by the
    decoder's norms, which is how SAELens trains them, the norms are folded into the encoder.

    Raises:
        SaevError: no such folder, or options that change the formula and are not supported.
    """
    from safetensors.torch import load_file

    folder = Path(path)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise SaevError(f"{path}: no SAELens folder there; expected {CONFIG} and {WEIGHTS}")
    config, tensors = json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS)
    for option, supported in (
        ("normalize_activations", "none"),
        ("reshape_activations", "none"),
        # of folders older than SAELens 6, where a TopK calls itself standard
        ("activation_fn", "relu"),
        ("activation_fn_str", "relu"),
        ("finetuning_scaling_factor", False),
    ):
        if config.get(option, supported) != supported:
            raise SaevError(f"{folder / CONFIG}: {option} is {config[option]!r}, only {supported!r} is read")
    d_sae = len(tensors["b_enc"])
    kinds = {
        "standard": lambda: ReLU(d_sae=d_sae),
        "topk": lambda: TopK(d_sae=d_sae, k=config["k"]),
        "jumprelu": lambda: JumpReLU(d_sae=d_sae),
    }
    if config.get("architecture") not in kinds:
        raise SaevError(
            f"{folder / CONFIG}: architecture is {config.get('architecture')!r}, "
            f"only {', '.join(kinds)} are read"
        )
    if config.get("rescale_acts_by_decoder_norm", False):
        norms = torch.linalg.vector_norm(tensors["W_dec"].float(), dim=1).clamp(min=1e-8)
        tensors |= {
            "W_enc": tensors["W_enc"] * norms,
            "b_enc": tensors["b_enc"] * norms,
            "W_dec": tensors["W_dec"] / norms[:, None],
        }
    subtracts = config.get("apply_b_dec_to_input", True)
    return assemble(
        kinds[config["architecture"]](),
        tensors,
        subtracts_b_dec=subtracts,
        extra={"theta": tensors.get("threshold")},
    )


def assemble(
    architecture: Architecture,
    tensors: dict[str, Tensor],
    *,
    subtracts_b_dec: bool,
    extra: dict[str, Tensor | None] | None = None,
    mean: Tensor | None = None,
    scale: float = 1.0,
) -> SAE:
    """An SAE from the tensors W_enc (d, s), b_enc, W_dec (s, d), b_dec of another library.

    Args:
        subtracts_b_dec: whether that library's encoder takes z - b_dec, or z.
        extra: values of the architecture's own parameters and buffers; None: as they are.
        mean, scale: the normalisation z = (x - mean) / scale; mean None: 0.
    """
    W_enc, b_dec = tensors["W_enc"].float(), tensors["b_dec"].float()
    sae = SAE(architecture, torch.zeros(len(b_dec)) if mean is None else mean, scale)
    with torch.no_grad():
        sae.W_enc.copy_(W_enc)
        sae.W_dec.copy_(tensors["W_dec"].float())
        sae.b_dec.copy_(b_dec)
        # Ours does subtract it; (z - b_dec) W + (b + b_dec W) = z W + b.
        sae.b_enc.copy_(tensors["b_enc"].float() + (0 if subtracts_b_dec else b_dec @ W_enc))
        for name, value in (extra or {}).items():
            if value is not None:
                getattr(sae, name).copy_(value.float())
    sae.check_values()
    return sae.eval().requires_grad_(False)
