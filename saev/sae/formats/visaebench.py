"""visaebench's folders: `config.json` and `sae.pt`, whose tensors are named as overcomplete's, or simply."""

from pathlib import Path

import torch
from torch import Tensor

from saev.errors import SaevError
from saev.sae.architectures import BatchTopK
from saev.sae.formats.assembly import assemble
from saev.sae.formats.reading import folder_with, integer, measured, of, read_json, read_torch, renamed, same
from saev.sae.model import SAE

CONFIG, WEIGHTS = "config.json", "sae.pt"


def load_visaebench(
    source: str | Path, *, mean: Tensor | float, scale: float, threshold: float | None = None
) -> SAE:
    """Read a BatchTopK SAE of visaebench.

        z = (x - mean) / scale    pre = ReLU(z W_enc + b_enc)    f = pre where pre >= threshold
        x_hat = scale * (f D + b_dec) + mean, where overcomplete's D = unit rows * exp(multiplier)

    Ours keeps pre > threshold: a code that is equal to it is 0. visaebench without a threshold keeps every
    positive code; that is refused here.

    Args:
        source: the folder of one SAE.
        mean, scale: (d,), and the root of the mean variance per dimension, of the backbone's patches on
            ImageNet's training images; they are not in the file.
        threshold: instead of the one in the folder.

    Raises:
        SaevError: no such folder, damaged, another architecture, or no threshold.
    """
    folder = folder_with(source, [CONFIG, WEIGHTS], "visaebench")
    config, found = read_json(folder / CONFIG), read_torch(folder / WEIGHTS)
    if config.get("architecture") != "batchtopk":
        raise SaevError(
            f"{folder / CONFIG}: architecture is {config.get('architecture')!r}, only 'batchtopk' is read"
        )
    with of(folder / WEIGHTS):
        tensors = _tensors(found)
    d, s = tensors["W_enc"].shape
    with of(folder / CONFIG):
        same(config, "d_model", d)
        same(config, "dict_size", s)
        architecture = BatchTopK(d_sae=s, k=integer(config, "k"))
        kept = config.get("threshold", found.get("_running_threshold")) if threshold is None else threshold
        extra = {"threshold": measured(kept, "threshold")}
    with of(folder / WEIGHTS):
        return assemble(architecture, tensors, subtracts_b_dec=False, extra=extra, mean=mean, scale=scale)


def _tensors(found: dict[str, Tensor]) -> dict[str, Tensor]:
    if "dictionary._weights" in found:
        tensors = renamed(
            found,
            {
                "W_enc": "encoder.final_block.0.weight.T",
                "b_enc": "encoder.final_block.0.bias",
                "W_dec": "dictionary._weights",
                "multiplier": "dictionary.multiplier",
            },
        )
        if deeper := [key for key in found if key.startswith("encoder.") and ".final_block.0." not in key]:
            raise SaevError(f"{deeper[0]} is of a deeper encoder, which is not read")
        rows, factor = tensors["W_dec"].float(), tensors.pop("multiplier").float().exp()
        tensors["W_dec"] = rows / (torch.linalg.vector_norm(rows, dim=-1, keepdim=True) + 1e-8) * factor
    else:
        # (s, d), unlike the decoder of a torch.nn.Linear
        names = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
        tensors = renamed(found, names)
    return tensors | {"b_dec": found.get("decoder.bias", torch.zeros(len(tensors["W_enc"])))}
