"""SAELens' folders against its formulas, written out; tests/peers has them read by SAELens itself."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from saev.sae import PCA, SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats import load_sae_lens, save_sae_lens
from tests.sae.foreign import D, K, S, X, agree, doubles, refused, stir, top, weights, write_json

FOUR = ("W_enc", "b_enc", "W_dec", "b_dec")


def trained(architecture, mean=None, scale=2.5) -> SAE:
    generator = torch.Generator().manual_seed(1)
    sae = SAE(architecture, torch.randn(D, generator=generator) if mean is None else mean, scale, seed=2)
    stir(sae, generator)
    if isinstance(architecture, BatchTopK):
        sae.threshold.fill_(0.7)
    return sae.eval().requires_grad_(False)


def theirs(folder, x):
    """SAELens' own encode and decode, in float64 from its files."""
    cfg = json.loads((folder / "cfg.json").read_text())
    w = {
        key: value.astype(np.float64) for key, value in load_file(folder / "sae_weights.safetensors").items()
    }
    assert cfg["normalize_activations"] == cfg["reshape_activations"] == "none"
    u = (x.numpy() - (w["b_dec"] if cfg["apply_b_dec_to_input"] else 0)) @ w["W_enc"]
    if cfg["architecture"] == "gated":
        f = (u + w["b_gate"] > 0) * np.maximum(np.exp(w["r_mag"]) * u + w["b_mag"], 0)
        return torch.from_numpy(f), torch.from_numpy(f @ w["W_dec"] + w["b_dec"])
    pre = u + w["b_enc"]
    f = np.maximum(pre, 0)
    if cfg["architecture"] == "topk":
        f = np.where(pre >= np.sort(pre, 1)[:, -cfg["k"], None], f, 0)
    if cfg["architecture"] == "jumprelu":
        f = f * (pre > w["threshold"])
    return torch.from_numpy(f), torch.from_numpy(f @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize(
    "architecture",
    [
        TopK(d_sae=S, k=4),
        BatchTopK(d_sae=S, k=4, prefixes=(5, 9)),
        ReLU(d_sae=S),
        JumpReLU(d_sae=S, theta=0.4),
        Gated(d_sae=S),
    ],
    ids=lambda a: type(a).__name__,
)
def test_it_reads_what_we_write_and_we_read_it_again(architecture, tmp_path):
    sae = trained(architecture)
    save_sae_lens(sae, tmp_path / "lens", model_name="dinov2")
    f, x_hat = theirs(tmp_path / "lens", X)
    agree(sae, f, x_hat)
    agree(load_sae_lens(tmp_path / "lens"), f, x_hat)


@pytest.mark.parametrize(("mean", "scale", "limit"), [(1, 2.7, 5e-6), (30, 0.05, 3e-4), (300, 2.0, 1e-4)])
def test_a_large_mean_is_not_folded_into_the_bias(mean, scale, limit, tmp_path):
    sae = trained(ReLU(d_sae=S), torch.full((D,), float(mean)), scale)
    x = mean + scale * torch.randn(60, D, generator=torch.Generator().manual_seed(4)).float().double()
    save_sae_lens(sae, tmp_path / "lens")
    exact = (
        (x.float().double() - mean) / sae.scale.double() - sae.b_dec.double()
    ) @ sae.W_enc.double() + sae.b_enc
    for f in (
        theirs(tmp_path / "lens", x.float().double())[0],
        load_sae_lens(tmp_path / "lens").encode(x.float()),
    ):
        assert ((f - exact.relu()).abs() < limit).all()
    cfg = json.loads((tmp_path / "lens/cfg.json").read_text())
    assert cfg["apply_b_dec_to_input"] is True
    np.testing.assert_array_equal(load_file(tmp_path / "lens/sae_weights.safetensors")["b_enc"], sae.b_enc)


def state(kind: str) -> dict[str, torch.Tensor]:
    w = weights()
    more = {"jumprelu": {"threshold": "theta"}, "gated": {"r_mag": "r_mag", "b_mag": "b_mag"}}.get(kind, {})
    made = {name: w[name] for name in FOUR} | {name: w[ours] for name, ours in more.items()}
    if kind == "gated":
        made["b_gate"] = made.pop("b_enc")
    if kind.endswith("batchtopk"):
        made["topk_threshold"] = torch.tensor(2.0, dtype=torch.float64)
    return made


def write(folder, kind: str, tensors=None, without=(), **config):
    """A folder as SAELens 6 has them."""
    config = {
        "architecture": kind,
        "d_in": D,
        "d_sae": S,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "apply_b_dec_to_input": True,
        "metadata": {"sae_lens_version": "6.54.0"},
    } | config
    write_json(folder / "cfg.json", {key: value for key, value in config.items() if key not in without})
    save_file(state(kind) if tensors is None else tensors, folder / "sae_weights.safetensors")
    return folder


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("standard", {}),
        ("topk", {"k": K}),
        ("topk", {"k": K, "rescale_acts_by_decoder_norm": True}),
        ("jumprelu", {}),
        ("gated", {}),
        ("batchtopk", {"k": 5.4}),
        ("batchtopk", {"k": 5.0, "rescale_acts_by_decoder_norm": True}),
        ("matryoshka_batchtopk", {"k": 5.0, "matryoshka_widths": [6, 14, S]}),
    ],
)
def test_every_architecture(kind, config, subtracts, tmp_path):
    w = doubles(weights())
    u = (X - (w["b_dec"] if subtracts else 0)) @ w["W_enc"]
    norms = w["W_dec"].norm(dim=1) if "rescale_acts_by_decoder_norm" in config else torch.ones(S)
    pre = (u + w["b_enc"]) * norms
    f = {
        "standard": lambda: pre.relu(),
        "topk": lambda: top(pre, K),
        "jumprelu": lambda: torch.where(pre > w["theta"], pre.relu(), 0),
        "gated": lambda: (pre > 0) * (w["r_mag"].exp() * u + w["b_mag"]).relu(),
    }.get(kind, lambda: torch.where(pre > 2, pre, 0))()
    write(tmp_path, kind, apply_b_dec_to_input=subtracts, **config)
    sae = load_sae_lens(tmp_path)
    agree(sae, f, (f / norms) @ w["W_dec"] + w["b_dec"])
    if "k" in config:
        assert sae.architecture.k == K
    if kind.startswith("matryoshka"):
        assert sae.architecture.prefixes == (6, 14)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            "standard",
            {"without": ("architecture", "metadata", "reshape_activations", "apply_b_dec_to_input")},
        ),
        ("standard", {"normalize_activations": None, "without": ("architecture", "metadata")}),
        (
            "standard",
            {"normalize_activations": False, "activation_fn_str": "relu", "without": ("architecture",)},
        ),
        ("standard", {"tensors": state("standard") | {"scaling_factor": torch.ones(S)}}),
        ("standard", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
        (
            "standard",
            {"activation_fn": "topk", "activation_fn_kwargs": {"k": K}, "without": ("architecture",)},
        ),
        ("jumprelu", {"activation_fn_str": "relu", "finetuning_scaling_factor": False}),
    ],
)
def test_folders_before_version_6(kind, config, tmp_path):
    w = doubles(weights())
    pre = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = torch.where(pre > w["theta"], pre, 0) if kind == "jumprelu" else pre.relu()
    f = top(pre, K) if "activation_fn_kwargs" in config else f
    agree(load_sae_lens(write(tmp_path, kind, **config)), f, f @ w["W_dec"] + w["b_dec"])


def test_a_training_checkpoint_with_the_logarithm_of_the_threshold(tmp_path):
    w = doubles(weights())
    tensors = state("jumprelu")
    tensors["log_threshold"] = tensors.pop("threshold").log()
    pre = (X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = torch.where(pre > w["theta"], pre, 0)
    agree(load_sae_lens(write(tmp_path, "jumprelu", tensors)), f, f @ w["W_dec"] + w["b_dec"])


def without(kind: str, name: str):
    return {key: value for key, value in state(kind).items() if key != name}


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("temporal", {}, "cfg.json: architecture is 'temporal'; read are 'standard', 'topk'"),
        ("matching_pursuit", {}, "cfg.json: architecture is 'matching_pursuit'"),
        (
            "standard",
            {"normalize_activations": "layer_norm"},
            "cfg.json: normalize_activations is 'layer_norm'",
        ),
        ("standard", {"normalize_activations": True}, "cfg.json: normalize_activations is True"),
        ("standard", {"reshape_activations": "hook_z"}, "cfg.json: reshape_activations is 'hook_z'"),
        ("standard", {"activation_fn_str": "tanh-relu"}, "cfg.json: activation_fn is 'tanh-relu'"),
        ("standard", {"finetuning_scaling_factor": True}, "cfg.json: finetuning_scaling_factor is True"),
        (
            "standard",
            {"apply_b_dec_to_input": "no"},
            "cfg.json: apply_b_dec_to_input is 'no'; read are True, False",
        ),
        ("standard", {"d_sae": S + 1}, "cfg.json: d_sae is 31, but the tensors have 30"),
        ("standard", {"d_in": S}, "cfg.json: d_in is 30, but the tensors have 12"),
        ("topk", {}, "cfg.json: no k there"),
        ("batchtopk", {"k": math.inf}, "cfg.json: sae.k must be an integer in [1, 30], got inf"),
        ("topk", {"k": S + 1}, "cfg.json: sae.k must be an integer in [1, 30], got 31"),
        (
            "batchtopk",
            {"tensors": state("standard"), "k": 3},
            "sae_weights.safetensors: no tensor topk_threshold",
        ),
        (
            "batchtopk",
            {"tensors": state("batchtopk") | {"topk_threshold": torch.tensor(0.0)}, "k": 3},
            "sae_weights.safetensors: a BatchTopK without the threshold",
        ),
        (
            "jumprelu",
            {"tensors": without("jumprelu", "threshold")},
            "sae_weights.safetensors: no tensor threshold",
        ),
        ("gated", {"tensors": without("gated", "b_gate")}, "sae_weights.safetensors: no tensor b_gate"),
        ("standard", {"tensors": state("jumprelu")}, "sae_weights.safetensors: a tensor threshold"),
        (
            "standard",
            {"tensors": state("standard") | {"scaling_factor": torch.full((S,), 2.0)}},
            "sae_weights.safetensors: a tensor scaling_factor",
        ),
        (
            "standard",
            {"tensors": state("standard") | {"W_enc": torch.zeros(S, D)}},
            "sae_weights.safetensors: W_enc must have shape (12, 30) for d = 12 and 30 latents, got (30, 12)",
        ),
        (
            "standard",
            {"tensors": state("standard") | {"b_enc": torch.full((S,), torch.nan)}},
            "sae_weights.safetensors: b_enc must be finite, but 30 of its values are not",
        ),
    ],
)
def test_others_are_refused(kind, config, message, tmp_path):
    refused(message, load_sae_lens, write(tmp_path, kind, **config))


def test_damage_is_named(tmp_path):
    refused("no cfg.json there", load_sae_lens, tmp_path)
    write(tmp_path, "standard")
    (tmp_path / "sae_weights.safetensors").write_bytes(b"\x00" * 20)
    refused("sae_weights.safetensors: damaged: ", load_sae_lens, tmp_path)
    (tmp_path / "cfg.json").write_text("{")
    refused("cfg.json: damaged: ", load_sae_lens, tmp_path)


def test_what_has_no_counterpart_is_not_written(tmp_path):
    class Squared(ReLU):
        def values(self, sae, pre, latents):
            return pre.relu() ** 2

    for architecture, name in ((PCA(d_sae=D), "PCA"), (Squared(d_sae=S), "Squared")):
        path, sae = tmp_path / "lens", SAE(architecture, torch.zeros(D), 1.0)
        refused(f"not {name}", lambda path, sae=sae: save_sae_lens(sae, path), path)
    sae = trained(ReLU(d_sae=S))
    sae.b_enc.fill_(torch.nan)
    refused("b_enc must be finite", lambda path: save_sae_lens(sae, path), tmp_path / "lens")
    assert not (tmp_path / "lens").exists()
