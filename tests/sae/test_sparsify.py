"""sparsify's folders against its formula, written out."""

import pytest
import torch
from safetensors.torch import save_file

from saev.sae.formats import load_sparsify
from tests.sae.foreign import D, K, S, X, agree, doubles, refused, top, weights, write_json


def state() -> dict[str, torch.Tensor]:
    w = weights()
    return {
        "encoder.weight": w["W_enc"].T.contiguous(),
        "encoder.bias": w["b_enc"],
        "W_dec": w["W_dec"],
        "b_dec": w["b_dec"],
    }


def write(folder, tensors=None, without=(), **config):
    config = {"activation": "topk", "expansion_factor": 32, "num_latents": S, "k": K, "d_in": D} | config
    write_json(folder / "cfg.json", {key: value for key, value in config.items() if key not in without})
    save_file(state() if tensors is None else tensors, folder / "sae.safetensors")
    return folder


@pytest.mark.parametrize("config", [{}, {"num_latents": 0}, {"without": ("activation", "num_latents")}])
def test_the_formula(config, tmp_path):
    w = doubles(weights())
    f = top((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"], K)
    sae = load_sparsify(write(tmp_path, **config))
    agree(sae, f, f @ w["W_dec"] + w["b_dec"])
    assert sae.architecture.k == K


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation": "groupmax"}, "cfg.json: activation is 'groupmax', only 'topk' is read"),
        ({"transcode": True}, "cfg.json: transcode is True, only False is read"),
        ({"skip_connection": True}, "cfg.json: skip_connection is True"),
        ({"signed": True}, "cfg.json: signed is True"),
        ({"without": ("k",)}, "cfg.json: no k there"),
        ({"k": S + 1}, "cfg.json: sae.k must be an integer in [1, 30], got 31"),
        ({"k": "4"}, "cfg.json: sae.k must be an integer in [1, 30], got '4'"),
        ({"num_latents": S + 1}, "cfg.json: num_latents is 31, but the tensors have 30"),
        ({"d_in": 5}, "cfg.json: d_in is 5, but the tensors have 12"),
        ({"tensors": state() | {"W_skip": torch.zeros(D, D)}}, "sae.safetensors: a tensor W_skip"),
        ({"tensors": {"b_dec": torch.zeros(D)}}, "sae.safetensors: no tensor encoder.weight"),
        (
            {"tensors": state() | {"encoder.weight": weights()["W_enc"]}},
            "sae.safetensors: W_enc must have shape (12, 30)",
        ),
        (
            {"tensors": state() | {"b_dec": torch.full((D,), torch.nan)}},
            "sae.safetensors: b_dec must be finite, but 12 of its values are not",
        ),
    ],
)
def test_others_are_refused(config, message, tmp_path):
    refused(message, load_sparsify, write(tmp_path, **config))


def test_damage_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "sae.safetensors").write_bytes(b"12345678")
    refused("sae.safetensors: damaged: ", load_sparsify, tmp_path)
    (tmp_path / "cfg.json").write_bytes(b"\xff")
    refused("cfg.json: damaged: ", load_sparsify, tmp_path)
