"""ViSAEBench's folders against its formulas, written out."""

import json

import pytest
import torch
from safetensors.torch import save_file

from saev.sae.formats import load_visaebench
from tests.sae.foreign import D, K, S, X, agree, doubles, refused, saved, top, weights, write_json

MEAN, SCALE, T = torch.linspace(-1, 1, D), 1.5, 2.0


def state(style: str, **more) -> dict[str, torch.Tensor]:
    w = weights()
    encoder, unit = w["W_enc"].T.contiguous(), torch.nn.functional.normalize(w["W_dec"], dim=1)
    if style == "overcomplete":
        made = {"encoder.final_block.0.weight": encoder, "encoder.final_block.0.bias": w["b_enc"]}
        made |= {"dictionary._weights": unit * 1.002, "dictionary.multiplier": torch.tensor(0.0)}
        return made | more
    made = {"encoder.weight": encoder, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"]}
    return made | ({"decoder.bias": w["b_dec"]} if style == "biased" else {}) | more


def write(folder, tensors, weights_file="sae.pt", **config):
    """The config is that of a public one, in small."""
    config = {"architecture": "batchtopk", "backbone": "clip", "d_model": D, "dict_size": S, "k": K} | config
    write_json(folder / "config.json", {key: value for key, value in config.items() if value is not ...})
    (folder / weights_file).write_bytes(saved(tensors))
    return folder


def formula(style: str, kind: str):
    w = doubles(weights())
    pre = (X - MEAN) / SCALE @ w["W_enc"] + w["b_enc"]
    f = {
        "topk": lambda: top(pre, K),
        "batchtopk": lambda: torch.where(pre >= T, pre, 0),
        "jumprelu": lambda: torch.where(pre > w["theta"], pre, 0),
    }[kind]()
    unit = w["W_dec"] / w["W_dec"].norm(dim=1, keepdim=True)
    z_hat = f @ (unit if style == "overcomplete" else w["W_dec"]) + (w["b_dec"] if style == "biased" else 0)
    return f, z_hat * SCALE + MEAN


def load(folder, **options):
    return load_visaebench(folder, mean=MEAN, scale=SCALE, **options)


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu"])
@pytest.mark.parametrize("style", ["simple", "biased", "overcomplete"])
def test_every_style_and_activation(style, kind, tmp_path):
    more = {"jump_thresholds": weights()["theta"]} if kind == "jumprelu" else {}
    sae = load(write(tmp_path, state(style, **more), activation=kind, threshold=T))
    agree(sae, *formula(style, kind))
    if kind != "jumprelu":
        assert sae.architecture.k == K


def test_other_names_of_the_files(tmp_path):
    write(tmp_path, state("simple"), "model.pt", threshold=T)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
    agree(load(tmp_path), *formula("simple", "batchtopk"))
    save_file(state("simple"), tmp_path / "model.safetensors")
    (tmp_path / "model.pt").write_bytes(b"")
    agree(load(tmp_path), *formula("simple", "batchtopk"))
    (tmp_path / "config.yaml").write_text("a: [")
    refused("config.yaml: damaged: ", load, tmp_path)


def test_no_threshold_is_no_batch_top_k(tmp_path):
    refused("a BatchTopK without the threshold", load, write(tmp_path, state("overcomplete")))
    agree(load(tmp_path, threshold=T), *formula("overcomplete", "batchtopk"))
    write(tmp_path, state("overcomplete", _running_threshold=torch.tensor(T)))
    agree(load(tmp_path), *formula("overcomplete", "batchtopk"))
    write(tmp_path, state("overcomplete", _running_threshold=torch.tensor(9.0)), threshold=8.0)
    agree(load(tmp_path, threshold=T), *formula("overcomplete", "batchtopk"))
    write(tmp_path, state("overcomplete"), architecture="topk")
    refused("threshold= is for a BatchTopK, this is a topk", load, tmp_path, threshold=T)


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        (
            state("simple"),
            {"architecture": "gated"},
            "config.json: activation is 'gated'; read are topk, batchtopk",
        ),
        (state("simple"), {"architecture": ...}, "config.json: activation is None"),
        (state("simple"), {"threshold": "0.4"}, "config.json: threshold must be a number"),
        (state("simple"), {"architecture": "topk", "k": ...}, "config.json: no k there"),
        (state("simple"), {"architecture": "topk", "k": 0}, "sae.k must be an integer in [1, 30], got 0"),
        (
            state("simple"),
            {"threshold": T, "dict_size": 5},
            "sae.pt: dict_size is 5, but the tensors have 30",
        ),
        (state("simple"), {"threshold": T, "d_model": 5}, "sae.pt: d_model is 5, but the tensors have 12"),
        (state("simple"), {"architecture": "jumprelu"}, "sae.pt: no tensor jump_thresholds"),
        (
            state("overcomplete", thresholds=torch.zeros(S)),
            {"architecture": "jumprelu"},
            "sae.pt: no tensor jump_thresholds",
        ),
        ({"a": torch.zeros(1)}, {"threshold": T}, "sae.pt: no tensor encoder.weight"),
        (
            state("simple") | {"decoder.weight": torch.zeros(D, S)},
            {"threshold": T},
            "sae.pt: d_model is 12, but the tensors have 30",
        ),
        (
            state("biased") | {"decoder.weight": torch.zeros(D, S)},
            {"threshold": T},
            "sae.pt: W_dec must have shape (30, 12)",
        ),
        (
            state("biased") | {"encoder.bias": torch.full((S,), torch.nan)},
            {"threshold": T},
            "b_enc must be finite",
        ),
    ],
)
def test_others_are_refused(tensors, config, message, tmp_path):
    refused(message, load, write(tmp_path, tensors, **config))


def test_nothing_there(tmp_path):
    refused("no config.json or config.yaml or config.yml there", load, tmp_path)
    write_json(tmp_path / "config.json", {})
    refused("no sae.pt or model.safetensors or model.pt there", load, tmp_path)
