"""An SAE from tensors: the one way by which every other library's weights come in, and anybody's own."""

from collections.abc import Mapping

import torch
from torch import Tensor

from saev.errors import SaevError
from saev.sae.architectures import Gated
from saev.sae.model import SAE, Architecture


def assemble(
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    *,
    subtracts_b_dec: bool,
    extra: Mapping[str, Tensor | float | None] | None = None,
    mean: Tensor | float = 0.0,
    scale: float = 1.0,
) -> SAE:
    """An SAE, ready for inference, from the weights of another library.

        z     = (x - mean) / scale
        pre   = (z - b_dec) W_enc + b_enc, or z W_enc + b_enc where the encoder does not subtract b_dec
        x_hat = scale * (f W_dec + b_dec) + mean

    Args:
        architecture: how f comes from pre; its `d_sae` is s.
        tensors: W_enc (d, s), b_enc (s,), W_dec (s, d), b_dec (d,); others are not looked at.
        subtracts_b_dec: whether that library's encoder takes z - b_dec.
        extra: all that the architecture has beside these: `threshold` () of BatchTopK, `theta` (s,) of
            JumpReLU, `r_mag` and `b_mag` (s,) of Gated.
        mean, scale: what it was trained on; mean (d,), or one number for all.

    Raises:
        SaevError: a tensor is missing, of another shape, not finite, or not this architecture's; scale <= 0.
    """
    shapes = _shapes(architecture, tensors)
    given = {name: _tensor(value, name) for name, value in (extra or {}).items() if value is not None}
    own = architecture.extra_parameters() | architecture.extra_buffers()
    kind = type(architecture).__name__
    for name in own.keys() - given.keys():
        raise SaevError(f"{name} is missing, which {kind} needs")
    for name in given.keys() - own.keys():
        raise SaevError(f"{name} is given, which {kind} does not have")
    mean_d = _tensor(mean, "mean")
    if mean_d.dim() == 0:
        mean_d = mean_d.expand(shapes["b_dec"]).clone()
    weights = {name: _tensor(tensors[name], name) for name in shapes}
    shapes |= {"mean": shapes["b_dec"], **{name: tuple(start.shape) for name, start in own.items()}}
    for name, value in {**weights, **given, "mean": mean_d}.items():
        if tuple(value.shape) != shapes[name]:
            raise SaevError(f"{name} has shape {tuple(value.shape)}, it must be {shapes[name]}")
    sae = SAE(architecture, mean_d, float(scale))
    with torch.no_grad():
        for name, value in {**weights, **given}.items():
            getattr(sae, name).copy_(value)
        if not subtracts_b_dec:  # ours does; (z - b_dec) W + (b + b_dec W) = z W + b
            shift = sae.b_dec @ sae.W_enc
            sae.b_enc.add_(shift)
            if isinstance(architecture, Gated):
                sae.b_mag.add_(shift * sae.r_mag.exp())
    sae.check_values()
    return sae.eval().requires_grad_(False)


def _shapes(architecture: Architecture, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        if tensors.get(name) is None:
            raise SaevError(f"{name} is missing")
    d, s = tensors["b_dec"].numel(), architecture.d_sae
    return {"W_enc": (d, s), "b_enc": (s,), "W_dec": (s, d), "b_dec": (d,)}


def _tensor(value: Tensor | float, name: str) -> Tensor:
    try:
        return torch.as_tensor(value).detach().cpu().float()
    except (TypeError, ValueError, RuntimeError):
        raise SaevError(f"{name} must be a tensor of numbers, got {value!r}") from None
