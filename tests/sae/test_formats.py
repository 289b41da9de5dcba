"""Other libraries' files against their own formulas, written out here."""

import io
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from saev.errors import SaevError
from saev.sae import PCA, SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats import load_osunlp, load_sae_lens, save_sae_lens

D, S, N = 12, 30, 40


@pytest.fixture
def x():
    return 2 + 3 * torch.randn(N, D, generator=torch.Generator().manual_seed(0))


def trained(architecture):
    generator = torch.Generator().manual_seed(1)
    sae = SAE(architecture, torch.randn(D, generator=generator), 2.5, seed=2)
    with torch.no_grad():
        extra = (sae.r_mag, sae.b_mag) if isinstance(architecture, Gated) else ()
        for parameter in (sae.W_enc, sae.b_enc, sae.b_dec, *extra):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return sae.eval().requires_grad_(False)


def sae_lens_forward(folder, x):
    """SAELens' own encode and decode, from its files."""
    cfg, w = json.loads((folder / "cfg.json").read_text()), load_file(folder / "sae_weights.safetensors")
    x = x.numpy().astype(np.float64)
    assert cfg["normalize_activations"] == "none"
    product = (x - (w["b_dec"] if cfg["apply_b_dec_to_input"] else 0)) @ w["W_enc"]
    if cfg["architecture"] == "gated":
        f = np.maximum(product * np.exp(w["r_mag"]) + w["b_mag"], 0) * (product + w["b_gate"] > 0)
        return f, f @ w["W_dec"] + w["b_dec"]
    pre = product + w["b_enc"]
    f = np.maximum(pre, 0)
    if cfg["architecture"] == "topk":
        f = np.where(pre >= np.sort(pre, 1)[:, -cfg["k"], None], f, 0)
    if cfg["architecture"] == "jumprelu":
        f = f * (pre > w["threshold"])
    return f, f @ w["W_dec"] + w["b_dec"]


@pytest.mark.parametrize(
    "architecture",
    [
        TopK(d_sae=S, k=4),
        BatchTopK(d_sae=S, k=4),
        ReLU(d_sae=S),
        JumpReLU(d_sae=S, theta=0.4),
        Gated(d_sae=S),
    ],
    ids=lambda a: type(a).__name__,
)
def test_sae_lens_reads_what_we_write_and_we_read_it_again(architecture, x, tmp_path):
    sae = trained(architecture)
    if isinstance(architecture, BatchTopK):
        sae.threshold.fill_(0.7)
    save_sae_lens(sae, tmp_path / "lens", model_name="dinov2")
    f, x_hat = sae_lens_forward(tmp_path / "lens", x)
    np.testing.assert_allclose(f, sae.encode(x), atol=2e-5)
    np.testing.assert_allclose(x_hat, sae(x), atol=1e-4)
    again = load_sae_lens(tmp_path / "lens")
    torch.testing.assert_close(again.encode(x), sae.encode(x), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(again(x), sae(x), atol=1e-4, rtol=1e-4)


def test_a_sae_lens_encoder_that_does_not_subtract_b_dec(x, tmp_path):
    save_sae_lens(trained(ReLU(d_sae=S)), tmp_path / "lens")
    cfg = json.loads((tmp_path / "lens/cfg.json").read_text())
    (tmp_path / "lens/cfg.json").write_text(json.dumps({**cfg, "apply_b_dec_to_input": False}))
    f, x_hat = sae_lens_forward(tmp_path / "lens", x)
    sae = load_sae_lens(tmp_path / "lens")
    np.testing.assert_allclose(sae.encode(x), f, atol=2e-5)
    np.testing.assert_allclose(sae(x), x_hat, atol=1e-4)


def test_sae_lens_options_that_are_not_read_are_named(tmp_path):
    with pytest.raises(SaevError, match="not PCA"):
        save_sae_lens(trained(PCA(d_sae=D)), tmp_path / "lens")
    with pytest.raises(SaevError, match="no SAELens folder"):
        load_sae_lens(tmp_path)
    save_sae_lens(trained(ReLU(d_sae=S)), tmp_path / "lens")
    cfg = json.loads((tmp_path / "lens/cfg.json").read_text())
    for change, message in (
        ({"normalize_activations": "layer_norm"}, "is 'layer_norm', only 'none'"),
        ({"architecture": "temporal"}, "'temporal'"),
    ):
        (tmp_path / "lens/cfg.json").write_text(json.dumps({**cfg, **change}))
        with pytest.raises(SaevError, match=message):
            load_sae_lens(tmp_path / "lens")


HEADERS = [  # header, activation, k, whether the encoder subtracts b_dec
    (
        {"d_vit": D, "exp_factor": 2, "sparsity_coeff": 4e-4, "ghost_grads": False, "seed": 1},
        "Relu",
        None,
        True,
    ),
    (
        {
            "schema": 1,
            "cls": "TopK",
            "cfg": {"d_vit": D, "exp_factor": 2, "top_k": 5},
            "commit": "a",
            "lib": "b",
        },
        "TopK",
        5,
        True,
    ),
    ({"schema": 1, "cls": "BatchTopK", "cfg": {"d_vit": D, "exp_factor": 2}}, "BatchTopK", 32, True),
    (
        {
            "schema": 1,
            "cls": "SparseAutoencoderConfig",
            "cfg": {"activation": {"cls": "TopK", "params": {"top_k": 3}}},
        },
        "TopK",
        3,
        False,
    ),
    ({"schema": 2, "cfg": {"d_vit": D, "activation": {"cls": "Relu", "params": {}}}}, "Relu", None, False),
    (
        {
            "schema": 4,
            "cfg": {"d_model": D, "activation": {"cls": "BatchTopK", "params": {"top_k": 7, "sparsity": {}}}},
        },
        "BatchTopK",
        7,
        False,
    ),
    ({"schema": 5, "cfg": {"activation": {"kind": "TopK", "params": {"top_k": 6}}}}, "TopK", 6, False),
    ({"schema": 5, "cfg": {"activation": {"key": "TopK", "top_k": 6}}}, "TopK", 6, False),
]


def write_osunlp(path, header, state):
    body = io.BytesIO()
    torch.save(state, body)
    path.write_bytes(json.dumps(header).encode() + b"\n" + body.getvalue())


@pytest.mark.parametrize(("header", "name", "k", "subtracts"), HEADERS)
def test_public_checkpoints_of_every_schema(header, name, k, subtracts, x, tmp_path):
    generator = torch.Generator().manual_seed(3)
    state = {
        "W_enc": torch.randn(D, S, generator=generator),
        "b_enc": torch.randn(S, generator=generator) - 1,
        "W_dec": torch.randn(S, D, generator=generator),
        "b_dec": torch.randn(D, generator=generator),
    }
    if name == "BatchTopK":
        state["activation.threshold"] = torch.tensor(2.0)
    if k == 32:
        header = {**header, "cfg": {**header["cfg"], "top_k": 30}}
    write_osunlp(tmp_path / "sae.pt", header, state)
    mean, scale = torch.linspace(-1, 1, D), 2.0
    sae = load_osunlp(tmp_path / "sae.pt", mean=mean, scale=scale)
    z = (x - mean) / scale
    pre = (z - (state["b_dec"] if subtracts else 0)) @ state["W_enc"] + state["b_enc"]
    f = pre.relu()
    if name == "TopK":
        f = torch.where(pre >= pre.topk(k).values[:, -1:], f, 0)
    if name == "BatchTopK":
        f = torch.where(pre > 2, f, 0)
    torch.testing.assert_close(sae.encode(x), f, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        sae(x), (f @ state["W_dec"] + state["b_dec"]) * scale + mean, atol=1e-3, rtol=1e-4
    )


def test_public_checkpoints_never_run_code_and_faults_are_one_line(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    (tmp_path / "evil.pt").write_bytes(b"{}\n" + pickle.dumps(Evil()))
    with pytest.raises(SaevError, match="not a state dict of tensors alone"):
        load_osunlp(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()
    state = {
        "W_enc": torch.zeros(D, S),
        "b_enc": torch.zeros(S),
        "W_dec": torch.zeros(S, D),
        "b_dec": torch.zeros(D),
    }
    write_osunlp(tmp_path / "new.pt", {"schema": 9, "cfg": {}}, state)
    with pytest.raises(SaevError, match="schema 9"):
        load_osunlp(tmp_path / "new.pt")
    relu = {"schema": 2, "cfg": {"activation": {"cls": "Relu"}}}
    write_osunlp(tmp_path / "odd.pt", relu, {**state, "b_enc": torch.zeros(S + 1)})
    with pytest.raises(SaevError, match=r"odd.pt: b_enc has shape \(31,\), it must be \(30,\)"):
        load_osunlp(tmp_path / "odd.pt")


def test_safetensors_of_sae_lens_are_plain(tmp_path):
    """A folder written by hand, as SAELens' own hub releases are."""
    rng = np.random.default_rng(0)
    weights = {
        "W_enc": rng.normal(size=(D, S)),
        "b_enc": rng.normal(size=S),
        "W_dec": rng.normal(size=(S, D)),
        "b_dec": rng.normal(size=D),
    }
    save_file(
        {key: value.astype(np.float32) for key, value in weights.items()},
        tmp_path / "sae_weights.safetensors",
    )
    (tmp_path / "cfg.json").write_text(
        json.dumps({"architecture": "standard", "d_in": D, "d_sae": S, "normalize_activations": "none"})
    )
    x = rng.normal(size=(5, D))
    expected = np.maximum((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"], 0)
    np.testing.assert_allclose(
        load_sae_lens(tmp_path).encode(torch.from_numpy(x).float()), expected, atol=1e-4
    )
