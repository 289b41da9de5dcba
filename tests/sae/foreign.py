"""Other libraries' files, made here, and what an SAE read from one must compute."""

import io
import json
import re

import pytest
import torch

from saev.errors import SaevError
from saev.sae import SAE

D, S, N, K = 12, 30, 60, 5
X = 2 + 3 * torch.randn(N, D, generator=torch.Generator().manual_seed(0)).double()


def weights(seed: int = 3) -> dict[str, torch.Tensor]:
    """W_enc (d, s), b_enc, W_dec (s, d) with norms about 3, b_dec, and (s,) theta, r_mag, b_mag."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D, S), "b_enc": (S,), "W_dec": (S, D), "b_dec": (D,)}
    made = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    made |= {name: torch.rand(S, generator=generator) for name in ("theta", "r_mag", "b_mag")}
    return made


@torch.no_grad()
def stir(sae: SAE, generator: torch.Generator) -> SAE:
    """The SAE, its encoder and biases moved away from where they start."""
    for name in ("W_enc", "b_enc", "b_dec", "r_mag", "b_mag"):
        if hasattr(sae, name):
            parameter = getattr(sae, name)
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return sae


def doubles(w: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.double() for name, value in w.items()}


def top(pre: torch.Tensor, k: int) -> torch.Tensor:
    """ReLU of the k largest of each row."""
    return torch.where(pre >= pre.topk(k).values[:, -1:], pre.relu(), 0)


def agree(sae: SAE, f: torch.Tensor, x_hat: torch.Tensor, x: torch.Tensor = X) -> None:
    """The same latents are active, with the same codes, and the reconstruction is the same."""
    codes = sae.encode(x.float()).double()
    assert 0 < (f > 0).double().mean() < 1
    assert torch.equal(codes > 0, f > 0)
    assert ((codes - f).abs() <= 1e-6 * f.max()).all()
    assert ((sae(x.float()) - x_hat).abs() <= 3e-6 * x_hat.abs().max()).all()


def refused(message: str, load, *args, **options) -> None:
    """In one line that has `message` in it, and names the file."""
    with pytest.raises(SaevError, match=re.escape(message)) as raised:
        load(*args, **options)
    assert "\n" not in str(raised.value) and str(args[0]) in str(raised.value)


def write_json(path, value) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def saved(tensors) -> bytes:
    """What `torch.save` writes."""
    body = io.BytesIO()
    torch.save(tensors, body)
    return body.getvalue()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))
