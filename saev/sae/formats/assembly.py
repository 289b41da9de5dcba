"""An SAE from the tensors of another library: the one way by which all the readers here make theirs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from saev.checks import check_number
from saev.errors import SaevError
from saev.sae.architectures import Gated
from saev.sae.model import SAE, Architecture


def assemble(
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    *,
    subtracts_b_dec: bool,
    mean: Tensor | float = 0.0,
    scale: float = 1.0,
) -> SAE:
    """An SAE from tensors, in evaluation mode. With z = (x - mean) / scale it computes

        pre   = (z - b_dec) W_enc + b_enc       or z W_enc + b_enc, unless `subtracts_b_dec`
        x_hat = scale * (f W_dec + b_dec) + mean

    and f from pre by the architecture. Where the encoder does not subtract b_dec, as ours does, it gets

        b_enc' = b_enc + b_dec W_enc

    and where no mean was subtracted before, scale * b_dec becomes the mean, and b_dec 0: the encoder product
    then sees centred activations, of which a rough one loses less.

    Args:
        tensors: W_enc (d, s), b_enc (s,), W_dec (s, d), b_dec (d,), and what the architecture has beside
            them: `theta` (s,) of a JumpReLU, `threshold` () of a BatchTopK, `r_mag`, `b_mag` (s,) of a Gated.
        subtracts_b_dec: whether that library's encoder takes z - b_dec, or z.
        mean, scale: (d,) or a number, and a number: the normalisation that it was trained with.

    Raises:
        SaevError: a tensor is missing, of no use, of another shape or not finite; or scale <= 0.
    """
    sae = _empty(architecture, tensors, mean, scale)
    b_dec = tensors["b_dec"].double()
    shift = 0 if subtracts_b_dec else b_dec @ tensors["W_enc"].double()
    values = {**tensors, "b_enc": tensors["b_enc"].double() + shift}
    if isinstance(architecture, Gated):  # mag = e^r (pre - b_enc) + b_mag must not see the shift
        values["b_mag"] = tensors["b_mag"].double() + shift * tensors["r_mag"].double().exp()
    with torch.no_grad():
        for name, value in values.items():
            getattr(sae, name).copy_(value)
        if not sae.mean.any():
            sae.mean.copy_(scale * b_dec)
            sae.b_dec.zero_()
    sae.check_values()
    return sae.eval().requires_grad_(False)


def _empty(
    architecture: Architecture, tensors: Mapping[str, Tensor], mean: Tensor | float, scale: float
) -> SAE:
    """An SAE to be filled, once all is found to fit."""
    check_number("scale", scale, low=0, above=True)
    kind, s = type(architecture).__name__, architecture.d_sae
    own = architecture.extra_parameters() | architecture.extra_buffers()
    for name in (names := ["W_enc", "b_enc", "W_dec", "b_dec", *own]):
        if tensors.get(name) is None:
            raise SaevError(f"{kind} needs the tensor {name}")
    for name in tensors:
        if name not in names:
            raise SaevError(f"{name} is no tensor of {kind}, but {', '.join(names)} are")
    d = tensors["b_dec"].numel()
    shapes = {"W_enc": (d, s), "b_enc": (s,), "W_dec": (s, d), "b_dec": (d,)}
    for name, shape in (shapes | {name: tuple(value.shape) for name, value in own.items()}).items():
        if (found := tuple(tensors[name].shape)) != shape:
            raise SaevError(f"{name} must have shape {shape} for d = {d} and {s} latents, got {found}")
        if wrong := int((~tensors[name].isfinite()).sum()):
            raise SaevError(f"{name} must be finite, but {wrong} of its values are not")
    if (found := tuple(torch.as_tensor(mean).shape)) not in ((), (d,)):
        raise SaevError(f"mean must be a number or have shape {(d,)}, got {found}")
    return SAE(architecture, torch.as_tensor(mean, dtype=torch.float32).expand(d).clone(), float(scale))


@torch.no_grad()
def unit_rows(sae: SAE) -> SAE:
    """The same reconstruction from decoder rows of unit norm: f_s times the norm of its row are the codes."""
    norms = torch.linalg.vector_norm(sae.W_dec, dim=1).clamp(min=1e-8)
    sae.b_enc.mul_(norms)
    sae.W_enc_sd.mul_(norms[:, None])
    sae.W_dec.div_(norms[:, None])
    return sae


def no_threshold(given: float | None, kind: str) -> None:
    """Raise SaevError if a threshold was given for what is no BatchTopK."""
    if given is not None:
        raise SaevError(f"threshold= is for a BatchTopK, this is a {kind}")


def batch_threshold(found: Tensor | float | None, given: float | None) -> Tensor:
    """A BatchTopK's threshold: the caller's, else that of its file.

    Raises:
        SaevError: there is none (one below 0 was never measured).
    """
    if given is not None:
        check_number("threshold", given, low=0)
        return torch.tensor(float(given))
    found = torch.tensor(float(found)) if isinstance(found, (int, float)) else found
    if found is None or bool((found < 0).all()):
        raise SaevError(
            "a BatchTopK without the threshold that replaces its k at inference; measure it, the value "
            "that k pre-activations per token exceed, and give it as threshold="
        )
    return found


def just_below(threshold: Tensor) -> Tensor:
    """t' with (pre > t') == (pre >= threshold) for float32: ours is a strict inequality."""
    return torch.nextafter(threshold.float(), torch.tensor(-torch.inf))
