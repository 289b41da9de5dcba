"""ViSAEBench's folders, and its public SAEs `visaebench/*-saes` on the Hugging Face hub.

A config (`config.json` or `.yaml`) and a state dict (`sae.pt`, `model.safetensors` or `model.pt`) with either
`encoder.weight`, `decoder.weight`, both (s, d), or the names of overcomplete. With z = (x - mean) / scale:

    pre = z E^T + b                     no b_dec is subtracted
    topk        f = top_k(ReLU(pre))
    batchtopk   f = ReLU(pre) H(pre >= threshold)
    jumprelu    f = ReLU(pre) H(pre > jump_thresholds)
    z_hat = f D + decoder.bias          D = decoder.weight, or exp(multiplier) w_s / ||w_s||

mean and scale are those of the backbone's ImageNet-train patches, and not in the files: mean (d,) over
tokens, scale the square root of the variance averaged over the dimensions. Nor are layer and preprocessing:
the public ones read the patch tokens of a ViT-B after its last block, before the final norm (`layer: -1`).
"""

from pathlib import Path

import torch
from torch import Tensor

from saev.checks import check_number
from saev.errors import SaevError
from saev.sae.architectures import BatchTopK, JumpReLU, TopK
from saev.sae.formats.assembly import assemble, batch_threshold, just_below, no_threshold
from saev.sae.formats.hub import local
from saev.sae.formats.overcomplete import ENCODER, directions
from saev.sae.formats.reading import check_said, need, read_config, read_tensors, rename, within
from saev.sae.model import SAE

CONFIGS, WEIGHTS = ("config.json", "config.yaml", "config.yml"), ("sae.pt", "model.safetensors", "model.pt")
_KINDS = {"topk": TopK, "batchtopk": BatchTopK, "jumprelu": JumpReLU}
_SIMPLE = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}


def load_visaebench(
    source: str | Path, *, mean: Tensor | float, scale: float, threshold: float | None = None
) -> SAE:
    """Read a folder; the formulas are above.

    Args:
        source: the folder, or an address such as `hf://visaebench/clip-vitb16-saes/batchtopk_16x_k128`.
        mean, scale: the normalisation that it was trained with; 0 and 1 if none.
        threshold: of a batchtopk, where config and state dict have none, or instead. (Without one ViSAEBench
            takes 0, which keeps every positive pre-activation.)

    Raises:
        SaevError: no such folder or repository, damaged, of another activation, or without k or threshold.
    """
    folder = local(source, [*CONFIGS, *WEIGHTS])
    file, weights = need(folder, *CONFIGS), need(folder, *WEIGHTS)
    config, tensors = read_config(file), read_tensors(weights)
    running, own = tensors.pop("_running_threshold", None), {}
    with within(file):
        kind = next(
            (config[key] for key in ("activation", "sae_type", "architecture") if key in config), None
        )
        if kind not in [*_KINDS]:
            raise SaevError(f"activation is {kind!r}; read are {', '.join(_KINDS)}")
        if kind != "jumprelu" and "k" not in config:
            raise SaevError("no k there")
        if kind == "batchtopk":
            said = config.get("threshold")
            if said is not None:
                check_number("threshold", said, low=-torch.inf)
            found = batch_threshold(running if said is None else said, threshold)
            own = {"threshold": just_below(found)}
        else:
            no_threshold(threshold, kind)
    with within(weights):
        tensors = _by_our_names(tensors, jumps=kind == "jumprelu") | own
        d, s = tensors["b_dec"].numel(), tensors["b_enc"].numel()
        check_said(config, input_dim=d, d_model=d, hidden_dim=s, dict_size=s)
        architecture = _KINDS[kind](d_sae=s, **({} if kind == "jumprelu" else {"k": config["k"]}))
        return assemble(architecture, tensors, subtracts_b_dec=False, mean=mean, scale=scale)


def _by_our_names(tensors: dict[str, Tensor], jumps: bool) -> dict[str, Tensor]:
    names = {"theta": "jump_thresholds"} if jumps else {}
    if "dictionary._weights" in tensors:
        W_dec = directions(tensors)
        return {**rename(tensors, ENCODER | names), "W_dec": W_dec, "b_dec": torch.zeros(W_dec.shape[1])}
    if "decoder.bias" not in tensors and "decoder.weight" in tensors:
        tensors["decoder.bias"] = torch.zeros(tensors["decoder.weight"].shape[-1:])
    return rename(tensors, _SIMPLE | {"b_dec": "decoder.bias"} | names)
