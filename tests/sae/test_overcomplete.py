"""overcomplete's state dicts against its formulas, written out."""

import pytest
import torch
from safetensors.torch import save_file

from saev.errors import SaevError
from saev.sae.formats import load_overcomplete
from tests.sae.foreign import D, K, N, S, X, agree, doubles, refused, saved, top, weights

T = 2.0


def state(kind: str, norm: bool = False) -> dict[str, torch.Tensor]:
    w, generator = weights(), torch.Generator().manual_seed(5)
    made = {
        "encoder.final_block.0.weight": w["W_enc"].T.contiguous(),
        "encoder.final_block.0.bias": w["b_enc"],
    }
    if norm:
        rows = torch.rand(4, S, generator=generator)
        names = ("weight", "bias", "running_mean", "running_var")
        made |= {f"encoder.final_block.1.{name}": row for name, row in zip(names, rows, strict=True)}
        made["encoder.final_block.1.num_batches_tracked"] = torch.tensor(7)
    if kind.startswith("RA"):
        shares, points = torch.rand(S, 20, generator=generator), torch.randn(20, D, generator=generator)
        relax = 0.1 * torch.randn(S, D, generator=generator)
        made |= {"dictionary.W": shares / shares.sum(1, keepdim=True), "dictionary.C": points}
        made["dictionary.Relax"] = relax
    else:
        lengths = 1 + 0.01 * torch.randn(
            S, 1, generator=generator
        )  # an optimiser's step after the last projection
        made["dictionary._weights"] = torch.nn.functional.normalize(w["W_dec"], dim=1) * lengths
    made["dictionary.multiplier"] = torch.tensor(0.3)
    return made | ({"thresholds": w["theta"].log()} if "Jump" in kind else {})


def write(path, kind, norm=False, **changes):
    tensors = state(kind, norm) | changes
    path.write_bytes(saved({name: value for name, value in tensors.items() if value is not None}))
    return path


def formula(kind: str, norm: bool = False):
    t = doubles(state(kind, norm))
    pre = X @ t["encoder.final_block.0.weight"].T + t["encoder.final_block.0.bias"]
    if norm:
        weight, bias, mean, var = (
            t[f"encoder.final_block.1.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
        )
        pre = (pre - mean) / (var + 1e-5).sqrt() * weight + bias
    if kind.startswith("RA"):
        dictionary = t["dictionary.W"] @ t["dictionary.C"] + t["dictionary.Relax"]
    else:
        dictionary = t["dictionary._weights"] / t["dictionary._weights"].norm(dim=1, keepdim=True)
    f = {"SAE": lambda: pre.relu(), "TopKSAE": lambda: top(pre, K), "RATopKSAE": lambda: top(pre, K)}.get(
        kind, lambda: torch.where(pre >= (t["thresholds"].exp() if "Jump" in kind else T), pre, 0)
    )()
    return f, f @ dictionary * torch.tensor(0.3).double().exp()


KINDS = ("SAE", "TopKSAE", "BatchTopKSAE", "JumpSAE", "RATopKSAE", "RAJumpSAE")
OPTIONS = {"TopKSAE": {"k": K}, "RATopKSAE": {"k": K}, "BatchTopKSAE": {"k": K, "threshold": T}}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_class(kind, norm, tmp_path):
    options = {"kind": kind, **OPTIONS.get(kind, {})}
    agree(load_overcomplete(write(tmp_path / "a.pt", kind, norm), **options), *formula(kind, norm))
    save_file(state(kind, norm), tmp_path / "a.safetensors")
    agree(load_overcomplete(tmp_path / "a.safetensors", **options), *formula(kind, norm))


def test_normalised_data(tmp_path):
    mean = torch.linspace(-1, 1, D)
    f, z_hat = formula("SAE")
    sae = load_overcomplete(write(tmp_path / "a.pt", "SAE"), kind="SAE", mean=mean, scale=2.0)
    agree(sae, f, z_hat * 2 + mean, x=X * 2 + mean)


def test_a_code_equal_to_the_threshold_is_active(tmp_path):
    """Theirs keeps it; there is one on every token here."""
    bias = torch.zeros(S)
    bias[3] = T
    encoder = state("SAE")["encoder.final_block.0.weight"].clone()
    encoder[3] = 0
    changes = {"encoder.final_block.0.weight": encoder, "encoder.final_block.0.bias": bias}
    path = write(tmp_path / "a.pt", "BatchTopKSAE", **changes)
    sae = load_overcomplete(path, kind="BatchTopKSAE", k=K, threshold=T)
    assert torch.equal(sae.encode(X.float())[:, 3], torch.full((N,), T))
    sae = load_overcomplete(path, kind="BatchTopKSAE", k=K, threshold=T * (1 + 1e-6))
    assert not sae.encode(X.float())[:, 3].any()


@pytest.mark.parametrize(
    ("kind", "options", "changes", "message"),
    [
        ("TopKSAE", {}, {}, "the file does not hold the k of its TopKSAE; give k="),
        ("TopKSAE", {"k": 0}, {}, "sae.k must be an integer in [1, 30], got 0"),
        ("BatchTopKSAE", {"k": K}, {}, "a BatchTopK without the threshold"),
        ("TopKSAE", {"k": K, "threshold": T}, {}, "threshold= is for a BatchTopK, this is a TopKSAE"),
        ("SAE", {"k": K}, {}, "k= is for a TopK or BatchTopK, this is a SAE"),
        ("SAE", {}, {"thresholds": torch.zeros(S)}, "a tensor thresholds"),
        ("JumpSAE", {}, {"thresholds": None}, "no tensor thresholds"),
        ("SAE", {}, {"encoder.final_block.1.weight": torch.ones(S)}, "a tensor encoder.final_block.1.weight"),
        (
            "SAE",
            {},
            {"encoder.mlp_blocks.0.0.weight": torch.ones(D, D)},
            "a tensor encoder.mlp_blocks.0.0.weight",
        ),
        ("SAE", {}, {"encoder.final_block.0.weight": None}, "no tensor encoder.final_block.0.weight"),
        ("SAE", {}, {"dictionary.multiplier": None}, "no tensor dictionary.multiplier"),
        ("SAE", {}, {"dictionary.multiplier": torch.zeros(S)}, "dictionary.multiplier has shape (30,)"),
        (
            "SAE",
            {},
            {"dictionary._weights": torch.ones(S, D)},
            "have norms from 3.46 to 3.46, so they are not",
        ),
        ("SAE", {}, {"dictionary._weights": torch.eye(S, D + 1)}, "have norms from 0 to 1"),
        (
            "RATopKSAE",
            {"k": K},
            {"dictionary.C": torch.ones(9, D)},
            "the shapes of the dictionary do not agree: W ",
        ),
        ("RATopKSAE", {"k": K}, {"dictionary.W": torch.ones(S, 20)}, "the rows of dictionary.W must be >= 0"),
    ],
)
def test_others_are_refused(kind, options, changes, message, tmp_path):
    refused(message, load_overcomplete, write(tmp_path / "a.pt", kind, **changes), kind=kind, **options)


def test_a_batch_norm_that_is_not_whole(tmp_path):
    path = write(tmp_path / "a.pt", "SAE", norm=True, **{"encoder.final_block.1.running_mean": None})
    refused("encoder.final_block.1.running_mean is missing", load_overcomplete, path, kind="SAE")


def test_an_unknown_class(tmp_path):
    with pytest.raises(SaevError, match="kind must be one of SAE, TopKSAE, .*, got 'MpSAE'"):
        load_overcomplete(write(tmp_path / "a.pt", "SAE"), kind="MpSAE")
