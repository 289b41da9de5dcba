"""The public checkpoints of every schema against their formulas, written out."""

import json
import pickle

import pytest
import torch

from saev.errors import SaevError
from saev.sae.formats import load_osunlp
from tests.sae.foreign import D, Evil, S, X, agree, doubles, refused, saved, top, weights

MEAN, T = torch.linspace(-1, 1, D), 2.0
ZERO = {"d_vit": D, "exp_factor": 2, "sparsity_coeff": 4e-4, "ghost_grads": False, "seed": 1}


def one_a(name, **cfg):
    return {"schema": 1, "cls": name, "cfg": {"d_vit": D, "exp_factor": 2, **cfg}, "commit": "a", "lib": "b"}


def nested(schema, **activation):
    return {"schema": schema, "cfg": {"d_model": D, "d_sae": S, "activation": activation}}


HEADERS = [  # header, activation, k, whether the encoder subtracts b_dec
    (ZERO, "Relu", None, True),
    (one_a("Relu"), "Relu", None, True),
    (one_a("TopK", top_k=5), "TopK", 5, True),
    (one_a("BatchTopK", top_k=30), "BatchTopK", 30, True),
    (nested(1, cls="TopK", params={"top_k": 3}) | {"cls": "SparseAutoencoderConfig"}, "TopK", 3, False),
    (nested(2, cls="Relu", params={}), "Relu", None, False),
    (nested(3, cls="TopK", params={"top_k": 4}), "TopK", 4, False),
    (nested(4, cls="BatchTopK", params={"top_k": 7, "sparsity": {}}), "BatchTopK", 7, False),
    (nested(5, kind="TopK", params={"top_k": 6}), "TopK", 6, False),
    (nested(5, key="TopK", top_k=6), "TopK", 6, False),
]


def state(name="Relu") -> dict[str, torch.Tensor]:
    made = {key: value for key, value in weights().items() if key in ("W_enc", "b_enc", "W_dec", "b_dec")}
    return made | ({"activation.threshold": torch.tensor(T)} if name == "BatchTopK" else {})


def write(path, header, tensors):
    path.write_bytes(json.dumps(header).encode() + b"\n" + saved(tensors))
    return path


def formula(name, k, subtracts, mean=MEAN, scale=2.0):
    w = doubles(weights())
    pre = ((X - mean) / scale - (w["b_dec"] if subtracts else 0)) @ w["W_enc"] + w["b_enc"]
    f = {"Relu": lambda: pre.relu(), "TopK": lambda: top(pre, k)}.get(
        name, lambda: torch.where(pre > T, pre, 0)
    )()
    return f, (f @ w["W_dec"] + w["b_dec"]) * scale + mean


@pytest.mark.parametrize(("header", "name", "k", "subtracts"), HEADERS)
def test_every_schema(header, name, k, subtracts, tmp_path):
    path = write(tmp_path / "sae.pt", header, state(name))
    agree(load_osunlp(path, mean=MEAN, scale=2.0), *formula(name, k, subtracts))
    agree(load_osunlp(tmp_path, mean=0.0), *formula(name, k, subtracts, mean=0, scale=1))
    other = load_osunlp(path, mean=MEAN, scale=2.0, subtracts_b_dec=not subtracts)
    agree(other, *formula(name, k, not subtracts))
    if subtracts:
        refused(
            "it was trained on normalised activations, and does not hold the constants", load_osunlp, path
        )
        refused("mean is given without its scale", load_osunlp, path, mean=MEAN)
    else:
        agree(load_osunlp(path), *formula(name, k, False, mean=0, scale=1))


@pytest.mark.parametrize("header", [one_a("BatchTopK"), nested(4, cls="BatchTopK", params={"top_k": 5})])
def test_a_batch_top_k_of_before_its_threshold_was_kept(header, tmp_path):
    header["cfg"]["top_k"] = 5
    path = write(tmp_path / "sae.pt", header, state("Relu"))
    refused("a BatchTopK without the threshold", load_osunlp, path, mean=0.0)
    sae = load_osunlp(path, mean=0.0, threshold=T)
    agree(sae, *formula("BatchTopK", 5, "cls" in header, mean=0, scale=1))
    path = write(tmp_path / "sae.pt", ZERO, state("Relu"))
    refused("threshold= is for a BatchTopK, this is a Relu", load_osunlp, path, mean=0.0, threshold=1.0)


RELU = nested(4, cls="Relu", params={})


@pytest.mark.parametrize(
    ("header", "tensors", "message"),
    [
        ({"schema": 9, "cfg": {}}, {}, "schema is 9; read are 0 (no schema) to 5"),
        ({"schema": "5", "cfg": {}}, {}, "schema is '5'; read are"),
        (
            {"schema": 4, "cfg": {"d_model": D}},
            {},
            "schema 4 with activation None; read are Relu, TopK, BatchTopK",
        ),
        ({"schema": 4, "cfg": 3}, {}, "its first line must be a JSON object"),
        ([], {}, "its first line must be a JSON object"),
        (one_a("JumpRelu"), {}, "schema 1 with activation 'JumpRelu'; read are"),
        (nested(4, cls=["Relu"]), {}, "schema 4 with activation ['Relu']"),
        (nested(4, cls="TopK", params={}), {}, "no top_k in the header, which the activation TopK needs"),
        (nested(4, cls="TopK", params={"top_k": 31}), {}, "sae.k must be an integer in [1, 30], got 31"),
        ({"schema": 4, "cfg": RELU["cfg"] | {"d_sae": 31}}, {}, "d_sae is 31, but the tensors have 30"),
        (RELU, {"activation.threshold": torch.tensor(1.0)}, "a tensor activation.threshold"),
        (RELU, {"b_enc": torch.zeros(S + 1)}, "d_sae is 30, but the tensors have 31"),
        (
            ZERO,
            {"b_enc": torch.zeros(S + 1)},
            "W_enc must have shape (12, 31) for d = 12 and 31 latents, got (12, 30)",
        ),
        (RELU, {"W_enc": torch.zeros(S, D)}, "W_enc must have shape (12, 30)"),
        (
            RELU,
            {"W_enc": torch.full((D, S), torch.nan)},
            "W_enc must be finite, but 360 of its values are not",
        ),
    ],
)
def test_others_are_refused(header, tensors, message, tmp_path):
    refused(message, load_osunlp, write(tmp_path / "sae.pt", header, state() | tensors), mean=0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": torch.zeros(D - 1), "scale": 1.0}, "mean must be a number or have shape (12,), got (11,)"),
        ({"mean": 0.0, "scale": 0.0}, "scale must be a number > 0, got 0.0"),
    ],
)
def test_a_wrong_normalisation_is_named(options, message, tmp_path):
    refused(message, load_osunlp, write(tmp_path / "sae.pt", RELU, state()), **options)


def test_they_never_run_code_and_damage_is_named(tmp_path):
    evil = tmp_path / "evil.pt"
    evil.write_bytes(b"{}\n" + pickle.dumps(Evil(tmp_path / "owned")))
    refused("damaged, or not written by torch.save", load_osunlp, evil)
    refused("holds more than tensors by name", load_osunlp, write(evil, {}, Evil(tmp_path / "owned")))
    assert not (tmp_path / "owned").exists()
    evil.write_bytes(b"not json\n")
    refused("does not begin with a line of JSON", load_osunlp, evil)
    with pytest.raises(SaevError, match=f"{tmp_path}: no nothing.pt there"):
        load_osunlp(tmp_path / "nothing.pt")
