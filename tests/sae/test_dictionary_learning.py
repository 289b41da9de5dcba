"""dictionary_learning's folders against its formulas, written out."""

import pytest
import torch

from saev.sae.formats import load_dictionary_learning
from tests.sae.foreign import D, Evil, K, S, X, agree, doubles, refused, saved, top, weights, write_json

T = 2.0


def state(kind: str) -> dict[str, torch.Tensor]:
    w = weights()
    k, threshold = torch.tensor(K, dtype=torch.int), torch.tensor(T)
    if kind in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"):
        four = {name: w[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
        if kind == "JumpReluAutoEncoder":
            return four | {"threshold": w["theta"]}
        return four | {"k": k, "threshold": threshold, "group_sizes": torch.tensor([6, 8, S - 14])}
    linear = {"encoder.weight": w["W_enc"].T.contiguous(), "decoder.weight": w["W_dec"].T.contiguous()}
    if kind == "GatedAutoEncoder":
        names = {"gate_bias": "b_enc", "decoder_bias": "b_dec", "r_mag": "r_mag", "mag_bias": "b_mag"}
        return linear | {theirs: w[ours] for theirs, ours in names.items()}
    linear["encoder.bias"] = w["b_enc"]
    linear[{"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias"}.get(kind, "b_dec")] = w["b_dec"]
    return linear | ({"k": k, "threshold": threshold} if "TopK" in kind else {})


def write(folder, kind: str, tensors=None, **trainer):
    trainer = {"dict_class": kind, "activation_dim": D, "dict_size": S, "k": K} | trainer
    write_json(folder / "config.json", {"trainer": trainer, "buffer": {}})
    (folder / "ae.pt").write_bytes(saved(state(kind) if tensors is None else tensors))
    return folder


def formula(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    w = doubles(weights())
    u = (X - (0 if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else w["b_dec"])) @ w["W_enc"]
    pre, norms = u + w["b_enc"], w["W_dec"].norm(dim=1)
    if kind == "AutoEncoder":
        return pre.relu() * norms, pre.relu() @ w["W_dec"] + w["b_dec"]
    f = {
        "AutoEncoderNew": lambda: pre.relu(),
        "JumpReluAutoEncoder": lambda: torch.where(pre > w["theta"], pre.relu(), 0),
        "GatedAutoEncoder": lambda: (pre > 0) * (w["r_mag"].exp() * u + w["b_mag"]).relu(),
        "AutoEncoderTopK": lambda: top(pre, K),
    }.get(kind, lambda: torch.where(pre > T, pre, 0))()
    return f, f @ w["W_dec"] + w["b_dec"]


KINDS = (
    "AutoEncoder",
    "AutoEncoderNew",
    "JumpReluAutoEncoder",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_class(kind, tmp_path):
    sae = load_dictionary_learning(write(tmp_path, kind))
    agree(sae, *formula(kind))
    if kind == "MatryoshkaBatchTopKSAE":
        assert sae.architecture.prefixes == (6, 14)
    if "TopK" in kind:
        assert sae.architecture.k == K


def test_a_top_k_of_before_its_k_was_a_tensor(tmp_path):
    tensors = state("AutoEncoderTopK")
    del tensors["k"], tensors["threshold"]
    agree(load_dictionary_learning(write(tmp_path, "AutoEncoderTopK", tensors)), *formula("AutoEncoderTopK"))


def test_a_batch_top_k_of_before_its_threshold_was_measured(tmp_path):
    write(tmp_path, "BatchTopKSAE", state("BatchTopKSAE") | {"threshold": torch.tensor(-1.0)})
    refused("a BatchTopK without the threshold", load_dictionary_learning, tmp_path)
    agree(load_dictionary_learning(tmp_path, threshold=T), *formula("BatchTopKSAE"))
    refused("threshold must be a number >= 0, got -2", load_dictionary_learning, tmp_path, threshold=-2)
    write(tmp_path, "BatchTopKSAE", state("BatchTopKSAE") | {"threshold": torch.tensor(9.0)})
    agree(load_dictionary_learning(tmp_path, threshold=T), *formula("BatchTopKSAE"))
    write(tmp_path, "AutoEncoder")
    refused("this is a AutoEncoder", load_dictionary_learning, tmp_path, threshold=1.0)


def without(kind: str, name: str):
    return {key: value for key, value in state(kind).items() if key != name}


@pytest.mark.parametrize(
    ("kind", "tensors", "trainer", "message"),
    [
        ("CrossCoder", {}, {}, "config.json: trainer.dict_class is 'CrossCoder'; read are AutoEncoder, "),
        ("AutoEncoder", None, {"dict_class": ["AutoEncoder"]}, "trainer.dict_class is ['AutoEncoder']"),
        (
            "JumpReluAutoEncoder",
            without("JumpReluAutoEncoder", "threshold"),
            {},
            "ae.pt: no tensor threshold",
        ),
        (
            "BatchTopKSAE",
            without("BatchTopKSAE", "threshold"),
            {},
            "ae.pt: a BatchTopK without the threshold",
        ),
        ("AutoEncoder", without("AutoEncoder", "bias"), {}, "ae.pt: no tensor bias; expected "),
        ("AutoEncoder", state("AutoEncoderTopK"), {}, "ae.pt: no tensor bias; expected "),
        (
            "AutoEncoderNew",
            state("AutoEncoderNew") | {"W_skip": torch.zeros(D, D)},
            {},
            "ae.pt: a tensor W_skip",
        ),
        ("AutoEncoderTopK", None, {"k": K + 1}, f"ae.pt: k is {K + 1}, but the tensors have {K}"),
        (
            "AutoEncoderTopK",
            without("AutoEncoderTopK", "k"),
            {"k": None},
            "ae.pt: no k, neither here nor in config",
        ),
        (
            "AutoEncoderTopK",
            without("AutoEncoderTopK", "k"),
            {"k": 0},
            "ae.pt: sae.k must be an integer in [1, 30]",
        ),
        ("AutoEncoder", None, {"dict_size": S + 1}, "ae.pt: dict_size is 31, but the tensors have 30"),
        (
            "AutoEncoder",
            state("AutoEncoder") | {"encoder.weight": weights()["W_enc"]},
            {},
            "ae.pt: W_enc must have shape (12, 30) for d = 12 and 30 latents, got (30, 12)",
        ),
        (
            "BatchTopKSAE",
            state("BatchTopKSAE") | {"threshold": torch.tensor(torch.nan)},
            {},
            "ae.pt: threshold must be finite",
        ),
    ],
)
def test_others_are_refused(kind, tensors, trainer, message, tmp_path):
    refused(message, load_dictionary_learning, write(tmp_path, kind, tensors, **trainer))


def test_nothing_is_unpickled_and_damage_is_named(tmp_path):
    write(tmp_path / "a", "AutoEncoder", [1, 2])
    refused("ae.pt: damaged, or holds more than tensors by name", load_dictionary_learning, tmp_path / "a")
    write(tmp_path / "a", "AutoEncoder", {"bias": Evil(tmp_path / "owned")})
    refused("ae.pt: damaged, or holds more than tensors by name", load_dictionary_learning, tmp_path / "a")
    assert not (tmp_path / "owned").exists()
    (tmp_path / "a" / "ae.pt").write_bytes(saved(state("AutoEncoder"))[:1000])
    refused("ae.pt: damaged, or not written by torch.save", load_dictionary_learning, tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text('{"trainer": ')
    refused("config.json: damaged: ", load_dictionary_learning, tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text("[]")
    refused(
        "config.json: must hold a mapping of options, not a list", load_dictionary_learning, tmp_path / "a"
    )
    (tmp_path / "a" / "ae.pt").unlink()
    refused("no ae.pt there", load_dictionary_learning, tmp_path / "a")
    refused("no config.json there; on the hub it would be hf://", load_dictionary_learning, tmp_path / "none")
