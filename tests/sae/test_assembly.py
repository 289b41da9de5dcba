"""One's own tensors made an SAE, against the formula in float64."""

import pytest
import torch

from saev.errors import SaevError
from saev.sae import BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats import assemble
from tests.sae.foreign import D, K, S, X, agree, doubles, top, weights

FOUR = ("W_enc", "b_enc", "W_dec", "b_dec")
MEAN = torch.linspace(-1, 1, D)
CASES = {
    "ReLU": (ReLU(d_sae=S), {}),
    "TopK": (TopK(d_sae=S, k=K), {}),
    "BatchTopK": (BatchTopK(d_sae=S, k=K), {"threshold": torch.tensor(2.0)}),
    "JumpReLU": (JumpReLU(d_sae=S), ("theta",)),
    "Gated": (Gated(d_sae=S), ("r_mag", "b_mag")),
}


def given(kind: str) -> dict[str, torch.Tensor]:
    more = CASES[kind][1]
    w = weights()
    return {name: w[name] for name in FOUR} | (
        more if isinstance(more, dict) else {name: w[name] for name in more}
    )


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("kind", CASES)
def test_the_formula(kind, subtracts):
    w = doubles(given(kind))
    z = (X - MEAN) / 2.5
    u = (z - (w["b_dec"] if subtracts else 0)) @ w["W_enc"]
    pre = u + w["b_enc"]
    f = {
        "ReLU": lambda: pre.relu(),
        "TopK": lambda: top(pre, K),
        "BatchTopK": lambda: torch.where(pre > 2, pre, 0),
        "JumpReLU": lambda: torch.where(pre > w["theta"], pre, 0),
        "Gated": lambda: (pre > 0) * (w["r_mag"].exp() * u + w["b_mag"]).relu(),
    }[kind]()
    sae = assemble(CASES[kind][0], given(kind), subtracts_b_dec=subtracts, mean=MEAN, scale=2.5)
    agree(sae, f, (f @ w["W_dec"] + w["b_dec"]) * 2.5 + MEAN)


def test_a_large_mean_costs_nothing():
    """As if it had been subtracted before: no large numbers are taken from each other."""
    w = doubles(given("ReLU"))
    mean = torch.full((D,), 300.0)
    x = (X + 300).float().double()
    f = (((x - mean) / 2 - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    sae = assemble(ReLU(d_sae=S), given("ReLU"), subtracts_b_dec=True, mean=mean, scale=2.0)
    assert ((sae.encode(x.float()) - f).abs() < 1e-5).all()
    uncentred = {**given("ReLU"), "b_dec": mean}
    f = (x - mean) @ w["W_enc"] + w["b_enc"]
    sae = assemble(ReLU(d_sae=S), uncentred, subtracts_b_dec=True)
    assert ((sae.encode(x.float()) - f.relu()).abs() < 1e-5).all()


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("JumpReLU", {"theta": None}, "JumpReLU needs the tensor theta"),
        ("BatchTopK", {"threshold": None}, "BatchTopK needs the tensor threshold"),
        ("ReLU", {"b_dec": None}, "ReLU needs the tensor b_dec"),
        ("ReLU", {"theta": torch.zeros(S)}, "theta is no tensor of ReLU, but W_enc, b_enc, W_dec, b_dec are"),
        (
            "ReLU",
            {"W_enc": torch.zeros(S, D)},
            "W_enc must have shape (12, 30) for d = 12 and 30 latents, got (30, 12)",
        ),
        ("JumpReLU", {"theta": torch.zeros(())}, "theta must have shape (30,)"),
        (
            "ReLU",
            {"W_dec": torch.full((S, D), torch.nan)},
            "W_dec must be finite, but 360 of its values are not",
        ),
        (
            "Gated",
            {"r_mag": torch.full((S,), torch.inf)},
            "r_mag must be finite, but 30 of its values are not",
        ),
    ],
)
def test_what_does_not_fit_is_named(kind, change, message):
    tensors = given(kind) | change
    absent = {
        name: value for name, value in tensors.items() if value is not None
    }  # None is as good as nothing
    for each in (tensors, absent):
        with pytest.raises(SaevError) as raised:
            assemble(CASES[kind][0], each, subtracts_b_dec=True)
        assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": torch.zeros(D + 1)}, "mean must be a number or have shape (12,), got (13,)"),
        ({"mean": torch.full((D,), torch.nan)}, "mean must be finite"),
        ({"scale": 0.0}, "scale must be a number > 0, got 0.0"),
        ({"scale": -1.0}, "scale must be a number > 0, got -1.0"),
        ({"scale": float("nan")}, "scale must be a number > 0, got nan"),
    ],
)
def test_a_wrong_normalisation_is_named(options, message):
    with pytest.raises(SaevError) as raised:
        assemble(ReLU(d_sae=S), given("ReLU"), subtracts_b_dec=True, **options)
    assert message in str(raised.value)
