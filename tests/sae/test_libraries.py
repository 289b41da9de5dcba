"""Folders of dictionary_learning, sparsify and visaebench, against their formulas in float64."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saev.errors import SaevError
from saev.sae import BatchTopK, Gated, JumpReLU, TopK
from saev.sae.formats import (
    assemble,
    load_dictionary_learning,
    load_osunlp,
    load_sae_lens,
    load_sparsify,
    load_visaebench,
)
from tests.sae.test_formats import write_osunlp

D, S, N, K, THETA = 12, 30, 40, 4, 1.5
GENERATOR = torch.Generator().manual_seed(0)
E, B, W, C, R, M = (
    torch.randn(*shape, generator=GENERATOR) for shape in ((S, D), (S,), (S, D), (D,), (S,), (S,))
)
X = torch.randn(N, D, generator=GENERATOR)


def agree(sae, f, x_hat):
    codes = sae.encode(X).double()
    assert torch.equal(codes > 0, f > 0)
    torch.testing.assert_close(codes, f, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(sae(X).double(), x_hat, rtol=1e-6, atol=1e-4)


def product(subtracts):
    return (X.double() - (C.double() if subtracts else 0)) @ E.double().T


def dictionary_learning(folder, kind, state):
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": kind}}))


LINEAR = {"encoder.weight": E, "encoder.bias": B, "decoder.weight": W.T}
OURS = {"W_enc": E.T, "b_enc": B, "W_dec": W, "b_dec": C}
BATCH = {"k": torch.tensor(K), "threshold": torch.tensor(THETA)}
KINDS = {
    "AutoEncoder": LINEAR | {"bias": C},
    "AutoEncoderNew": LINEAR | {"decoder.bias": C},
    "GatedAutoEncoder": {
        "encoder.weight": E,
        "decoder.weight": W.T,
        "decoder_bias": C,
        "gate_bias": B,
        "r_mag": R,
        "mag_bias": M,
    },
    "JumpReluAutoEncoder": OURS | {"threshold": M.abs()},
    "AutoEncoderTopK": LINEAR | {"b_dec": C, **BATCH},
    "BatchTopKSAE": LINEAR | {"b_dec": C, **BATCH},
    "MatryoshkaBatchTopKSAE": OURS | BATCH | {"group_sizes": torch.tensor([10, 20])},
}


@pytest.mark.parametrize("kind", KINDS)
def test_dictionary_learning(kind, tmp_path):
    dictionary_learning(tmp_path, kind, KINDS[kind])
    xw = product(kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"))
    pre = xw + B.double()
    f = pre.relu()
    if kind == "GatedAutoEncoder":
        f = (pre > 0) * (xw * R.double().exp() + M.double()).relu()
    if kind == "JumpReluAutoEncoder":
        f = f * (pre > M.double().abs())
    if kind == "AutoEncoderTopK":
        f = f * (f >= f.topk(K).values[:, -1:])
    if "Batch" in kind:
        f = f * (f > THETA)
    agree(load_dictionary_learning(tmp_path), f, f @ W.double() + C.double())


def test_dictionary_learning_refuses_what_it_cannot_know(tmp_path):
    dictionary_learning(tmp_path, "BatchTopKSAE", KINDS["BatchTopKSAE"] | {"threshold": torch.tensor(-1.0)})
    with pytest.raises(SaevError, match="ae.pt: threshold is -1; without it a BatchTopK gives other codes"):
        load_dictionary_learning(tmp_path)
    assert load_dictionary_learning(tmp_path, threshold=0.5).threshold == 0.5
    dictionary_learning(tmp_path, "Other", {})
    with pytest.raises(SaevError, match="config.json: trainer.dict_class is 'Other', only AutoEncoder"):
        load_dictionary_learning(tmp_path)
    dictionary_learning(tmp_path, "AutoEncoder", {"encoder.weight": E, "step": 3})
    with pytest.raises(SaevError, match="ae.pt: not a state dict of tensors alone"):
        load_dictionary_learning(tmp_path)
    dictionary_learning(tmp_path, "AutoEncoder", LINEAR)
    with pytest.raises(SaevError, match="ae.pt: bias is missing"):
        load_dictionary_learning(tmp_path)


def test_sparsify(tmp_path):
    state = {"encoder.weight": E, "encoder.bias": B, "W_dec": W, "b_dec": C}
    config = {"activation": "topk", "k": K, "num_latents": S, "d_in": D, "transcode": False}
    save_file(state, tmp_path / "sae.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    f = (product(True) + B.double()).relu()
    f = f * (f >= f.topk(K).values[:, -1:])
    agree(load_sparsify(tmp_path), f, f @ W.double() + C.double())
    for change, message in (
        ({"activation": "groupmax"}, "activation is 'groupmax', only 'topk' is read"),
        ({"transcode": True}, "transcode is True"),
        ({"num_latents": 7}, "num_latents is 7, but the tensors have 30"),
        ({"k": None}, "k must be an integer > 0, got None"),
    ):
        (tmp_path / "cfg.json").write_text(json.dumps(config | change))
        with pytest.raises(SaevError, match=f"cfg.json: {message}"):
            load_sparsify(tmp_path)
    (tmp_path / "sae.safetensors").write_bytes(b"damaged")
    with pytest.raises(SaevError, match="sae.safetensors: damaged"):
        load_sparsify(tmp_path)


@pytest.mark.parametrize("style", ["simple", "overcomplete"])
def test_visaebench(style, tmp_path):
    names = {"simple": ("encoder.weight", "encoder.bias", "decoder.weight")}.get(
        style, ("encoder.final_block.0.weight", "encoder.final_block.0.bias", "dictionary._weights")
    )
    more = {} if style == "simple" else {"dictionary.multiplier": torch.tensor(0.3)}
    torch.save(dict(zip(names, (E, B, W), strict=True)) | more, tmp_path / "sae.pt")
    config = {"architecture": "batchtopk", "d_model": D, "dict_size": S, "k": K}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SaevError, match="config.json: threshold is missing"):
        load_visaebench(tmp_path, mean=0, scale=1)
    (tmp_path / "config.json").write_text(json.dumps(config | {"threshold": THETA}))
    z = (X.double() - C.double()) / 2
    f = (z @ E.double().T + B.double()).relu()
    f = f * (f >= THETA)
    rows = W.double()
    if style == "overcomplete":
        rows = rows / rows.norm(dim=1, keepdim=True) * np.exp(0.3)
    agree(load_visaebench(tmp_path, mean=C, scale=2), f, 2 * f @ rows + C.double())


def test_the_paper_without_a_threshold_or_a_normalisation_is_refused(tmp_path):
    batch = {"schema": 4, "cfg": {"activation": {"cls": "BatchTopK", "params": {"top_k": K}}}}
    write_osunlp(tmp_path / "sae.pt", batch, OURS)
    with pytest.raises(SaevError, match="sae.pt: activation.threshold is missing"):
        load_osunlp(tmp_path / "sae.pt")
    assert load_osunlp(tmp_path / "sae.pt", threshold=THETA).threshold == THETA
    write_osunlp(tmp_path / "sae.pt", {"d_vit": D}, OURS)
    with pytest.raises(SaevError, match="give mean= and scale=, or mean=0"):
        load_osunlp(tmp_path / "sae.pt")
    f = (product(True) + B.double()).relu()
    agree(load_osunlp(tmp_path / "sae.pt", mean=0), f, f @ W.double() + C.double())
    for header, message in (
        ({"schema": "4"}, "schema '4'"),
        ({"schema": 3, "cfg": {}}, "schema [13]: cfg.activation is None"),
        ({"schema": 1, "cls": "JumpRelu", "cfg": {}}, "schema [13]: cfg.activation is None"),
        (
            {"schema": 3, "cfg": {"activation": {"cls": "TopK"}}},
            "top_k must be an integer > 0, it is missing",
        ),
    ):
        write_osunlp(tmp_path / "sae.pt", header, OURS)
        with pytest.raises(SaevError, match=f"sae.pt: {message}"):
            load_osunlp(tmp_path / "sae.pt")


def sae_lens(folder, config, tensors):
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / "sae_weights.safetensors"
    )
    (folder / "cfg.json").write_text(json.dumps(config))


def test_sae_lens_older_than_6_and_its_training_checkpoints(tmp_path):
    pre = product(True) + B.double()
    f = pre.relu()
    sae_lens(tmp_path, {"d_sae": S, "normalize_activations": False}, OURS)
    agree(load_sae_lens(tmp_path), f, f @ W.double() + C.double())
    sae_lens(tmp_path, {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}, OURS)
    kept = f * (f >= f.topk(K).values[:, -1:])
    agree(load_sae_lens(tmp_path), kept, kept @ W.double() + C.double())
    sae_lens(
        tmp_path,
        {"architecture": "batchtopk", "k": 4.5, "metadata": {}},
        OURS | {"topk_threshold": torch.tensor(THETA).double()},
    )
    kept = f * (f > THETA)
    agree(load_sae_lens(tmp_path), kept, kept @ W.double() + C.double())


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        ({"architecture": "jumprelu"}, {}, "safetensors: threshold is missing"),
        ({"architecture": "topk"}, {}, "cfg.json: k must be an integer > 0, it is missing"),
        ({"architecture": "gated"}, {}, "safetensors: b_gate is missing"),
        ({"architecture": "matching_pursuit"}, {}, "cfg.json: architecture is 'matching_pursuit'"),
        ({"architecture": "standard"}, {"threshold": B + 1}, "threshold is given"),
        ({"architecture": "standard", "d_sae": 7}, {}, "cfg.json: d_sae is 7, but the tensors have 30"),
        ({"architecture": "standard"}, {"W_enc": E}, r"b_enc has shape|W_enc has shape"),
        ({"architecture": "standard"}, {"b_enc": B / 0}, "b_enc must be finite"),
        ({"normalize_activations": True}, {}, "normalize_activations is True"),
    ],
)
def test_sae_lens_refusals(config, change, message, tmp_path):
    sae_lens(tmp_path, config, OURS | change)
    with pytest.raises(SaevError, match=message):
        load_sae_lens(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        (BatchTopK(d_sae=S, k=K), {}, "threshold is missing, which BatchTopK needs"),
        (JumpReLU(d_sae=S), {"extra": {"theta": None}}, "theta is missing, which JumpReLU needs"),
        (TopK(d_sae=S, k=K), {"extra": {"theta": B}}, "theta is given, which TopK does not have"),
        (TopK(d_sae=S, k=K), {"mean": torch.zeros(3)}, r"mean has shape \(3,\), it must be \(12,\)"),
        (TopK(d_sae=S, k=K), {"scale": 0}, "scale must be > 0, got 0"),
    ],
)
def test_assemble_refuses(architecture, options, message):
    with pytest.raises(SaevError, match=message):
        assemble(architecture, OURS, subtracts_b_dec=True, **options)


def test_assemble_a_gated_encoder_that_does_not_subtract():
    sae = assemble(Gated(d_sae=S), OURS, subtracts_b_dec=False, extra={"r_mag": R, "b_mag": M})
    xw = product(False)
    f = (xw + B.double() > 0) * (xw * R.double().exp() + M.double()).relu()
    agree(sae, f, f @ W.double() + C.double())
