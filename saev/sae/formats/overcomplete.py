"""overcomplete's state dicts, `torch.save(model.state_dict(), file)`, which say neither whose they are nor k.

With the linear encoder E (s, d), b of its final block, and the dictionary D (s, d),

    pre = x E^T + b, then by a BatchNorm in evaluation mode where there is one      x_hat = f D

    SAE             f = ReLU(pre)
    TopKSAE         f = top_k(ReLU(pre))
    BatchTopKSAE    f = ReLU(pre) H(pre >= running_threshold), which is not in the file
    JumpSAE         f = ReLU(pre) H(pre >= exp(thresholds))

    D = exp(multiplier) w_s / ||w_s||                of SAE, TopKSAE, BatchTopKSAE, JumpSAE
    D = exp(multiplier) (W C + Relax)                of RATopKSAE, RAJumpSAE
"""

from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from saev.checks import check_choice
from saev.errors import SaevError
from saev.sae.architectures import BatchTopK, JumpReLU, ReLU, TopK
from saev.sae.formats.assembly import assemble, batch_threshold, just_below, no_threshold
from saev.sae.formats.reading import need, read_tensors, rename, within
from saev.sae.model import SAE, Architecture

Kind = Literal["SAE", "TopKSAE", "BatchTopKSAE", "JumpSAE", "RATopKSAE", "RAJumpSAE"]
ENCODER = {"W_enc": "encoder.final_block.0.weight.T", "b_enc": "encoder.final_block.0.bias"}
_NORM = ("weight", "bias", "running_mean", "running_var")


def load_overcomplete(
    source: str | Path,
    *,
    kind: Kind,
    k: int | None = None,
    threshold: float | None = None,
    mean: Tensor | float = 0.0,
    scale: float = 1.0,
) -> SAE:
    """Read a state dict, `.pt` or `.safetensors`.

    Args:
        kind: the class that wrote it.
        k: of a TopKSAE its `top_k`; of a BatchTopKSAE its `top_k` over the tokens in a batch.
        threshold: of a BatchTopKSAE: its `running_threshold`.
        mean, scale: of the data that it was trained on, if that was normalised: x = (raw - mean) / scale.

    Raises:
        SaevError: no such file, damaged, k or threshold not given, or of another formula: an encoder of
            several layers, with LayerNorm or tied; a dictionary not normalised by l2.
    """
    check_choice("kind", kind, get_args(Kind))
    path = need(Path(source).parent, Path(source).name)
    tensors = read_tensors(path)
    with within(path):
        dictionary = _archetypes(tensors) if kind.startswith("RA") else directions(tensors)
        _fold_norm(tensors)
        jumps = {"theta": "thresholds"} if "Jump" in kind else {}
        tensors = rename(tensors, ENCODER | jumps)
        tensors |= {"W_dec": dictionary, "b_dec": torch.zeros(dictionary.shape[-1])}
        if jumps:
            tensors["theta"] = just_below(tensors["theta"].exp())
        elif kind == "BatchTopKSAE":
            tensors["threshold"] = just_below(batch_threshold(None, threshold))
        if kind != "BatchTopKSAE":
            no_threshold(threshold, kind)
        architecture = _architecture(kind, tensors["b_enc"].numel(), k)
        return assemble(architecture, tensors, subtracts_b_dec=False, mean=mean, scale=scale)


def _architecture(kind: Kind, d_sae: int, k: int | None) -> Architecture:
    if "TopK" not in kind and k is not None:
        raise SaevError(f"k= is for a TopK or BatchTopK, this is a {kind}")
    if kind == "SAE":
        return ReLU(d_sae=d_sae)
    if "Jump" in kind:
        return JumpReLU(d_sae=d_sae)
    if k is None:
        raise SaevError(f"the file does not hold the k of its {kind}; give k=")
    return (BatchTopK if kind == "BatchTopKSAE" else TopK)(d_sae=d_sae, k=k)


def directions(tensors: dict[str, Tensor]) -> Tensor:
    """The dictionary (s, d), whose tensors are taken out.

    Raises:
        SaevError: its rows are far from unit norm. (One step of the optimiser, before they are normalised,
            moves them by some thousandths.)
    """
    kept = _take(tensors, "_weights", "multiplier")
    norms = torch.linalg.vector_norm(kept["_weights"], dim=-1)
    if not ((norms - 1).abs() < 0.1).all():
        raise SaevError(
            f"the rows of dictionary._weights have norms from {norms.min():.3g} to {norms.max():.3g}, "
            "so they are not normalised by l2, and the file does not say by what; make the SAE with assemble"
        )
    return F.normalize(kept["_weights"], dim=-1) * kept["multiplier"].exp()


def _archetypes(tensors: dict[str, Tensor]) -> Tensor:
    """The dictionary of a relaxed archetypal SAE, convex combinations of points."""
    kept = _take(tensors, "W", "C", "Relax", "multiplier")
    if not (kept["W"].min() >= 0 and ((kept["W"].sum(-1) - 1).abs() < 1e-4).all()):
        raise SaevError(
            "the rows of dictionary.W must be >= 0 with sum 1; call the model's eval() and save it again"
        )
    (s, n), (points, d) = kept["W"].shape, kept["C"].shape
    if n != points or kept["Relax"].shape != (s, d):
        shapes = ", ".join(f"{name} {tuple(kept[name].shape)}" for name in ("W", "C", "Relax"))
        raise SaevError(f"the shapes of the dictionary do not agree: {shapes}")
    return (kept["W"] @ kept["C"] + kept["Relax"]) * kept["multiplier"].exp()


def _take(tensors: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    kept = {name: tensors.pop(theirs) for name in names if (theirs := f"dictionary.{name}") in tensors}
    for name in names:
        if name not in kept:
            raise SaevError(f"no tensor dictionary.{name}; found {', '.join(tensors)}")
        if kept[name].ndim != (0 if name == "multiplier" else 2):
            raise SaevError(f"dictionary.{name} has shape {tuple(kept[name].shape)}")
    return {name: value.float() for name, value in kept.items()}


def _fold_norm(tensors: dict[str, Tensor]) -> None:
    """Put a BatchNorm after the linear encoder, (pre - running_mean) g + bias, into the encoder."""
    prefix = "encoder.final_block.1."
    weight, bias = (tensors.get(f"encoder.final_block.0.{name}") for name in ("weight", "bias"))
    if weight is None or weight.ndim != 2 or bias is None or f"{prefix}running_var" not in tensors:
        return
    there = [name for name in (*_NORM, "num_batches_tracked") if prefix + name in tensors]
    norm = {name: tensors.pop(prefix + name) for name in there}
    for name in _NORM:
        if name not in norm or not norm[name].shape == bias.shape == weight[:, 0].shape:
            raise SaevError(f"{prefix}{name} is missing, or not of shape {tuple(bias.shape)}")
    norm = {name: norm[name].float() for name in _NORM}
    gain = norm["weight"] / (norm["running_var"] + 1e-5).sqrt()
    tensors["encoder.final_block.0.weight"] = weight * gain[:, None]
    tensors["encoder.final_block.0.bias"] = (bias.float() - norm["running_mean"]) * gain + norm["bias"]
