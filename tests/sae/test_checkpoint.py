"""Checkpoints on disk: round trips, those of earlier versions, damage, architectures of one's own."""

import json
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import save_file

import saev.sae
from saev.errors import SaevError
from saev.sae import SAE, Architecture, TopK, load_sae, save_sae
from saev.sae.formats.checkpoint import architectures
from tests.sae.examples import ARCHITECTURES, D, S, build

EARLIER = {
    "schema": 1,
    "architecture": "TopK",
    "options": {
        "d_sae": 3,
        "prefixes": [1],
        "random_prefixes": 0,
        "aux_k": 0,
        "aux_weight": 0.03125,
        "dead_after": 1000000,
        "data_init": 0.0,
        "unit_norm": True,
        "optimizer": "adam",
        "lr": 0.003,
        "k": 2,
        "k_start": None,
        "k_anneal": 0.2,
    },
    "d": 2,
    "precision": "bf16",
    "backbone": "timm/a",
    "weights": "0123",
    "layer": 10,
    "data": "photographs",
}
"""A config from before SAEs had an origin."""


@pytest.mark.parametrize("architecture", [a for a, _ in ARCHITECTURES])
def test_checkpoint_round_trip(architecture, tmp_path):
    sae, x = build(architecture, bias=-2.0, dtype=torch.float32)
    save_sae(sae, tmp_path / "sae", metrics={"nmse": 0.5})
    save_sae(sae, tmp_path / "again", metrics={"nmse": 0.5})
    loaded = load_sae(tmp_path / "sae")
    assert loaded.architecture == architecture and loaded.origin is None
    assert torch.equal(loaded.encode(x), sae.encode(x)) and torch.equal(loaded(x), sae(x))
    for file in ("sae.safetensors", "config.json"):
        assert (tmp_path / "sae" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


@pytest.mark.parametrize("file", ["sae.safetensors", "config.json"])
def test_every_changed_byte_is_noticed(file, tmp_path):
    sae, _ = build(TopK(d_sae=S, k=3), dtype=torch.float32)
    save_sae(sae, tmp_path / "sae", run="0123")
    whole = (tmp_path / "sae" / file).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        (tmp_path / "sae" / file).write_bytes(changed)
        if file == "config.json" and changed.split() == whole.split():
            continue  # white space says nothing
        with pytest.raises(SaevError, match=f"^{tmp_path}/sae"):
            load_sae(tmp_path / "sae")


@pytest.mark.parametrize(("name", "value"), [("mean", torch.nan), ("b_enc", torch.inf), ("scale", 0.0)])
def test_values_that_are_no_numbers_are_neither_written_nor_read(name, value, tmp_path):
    sae, _ = build(TopK(d_sae=S, k=3), dtype=torch.float32)
    with torch.no_grad():
        getattr(sae, name).fill_(value)
    with pytest.raises(SaevError, match=f"^{tmp_path}/sae: {name} must be (finite, but|> 0, got 0)"):
        save_sae(sae, tmp_path / "sae")
    assert not (tmp_path / "sae").exists()


def test_checkpoints_of_earlier_versions_load(tmp_path):
    generator = torch.Generator().manual_seed(0)
    mean, b_enc, b_dec, W_enc = (torch.randn(shape, generator=generator) for shape in (2, 3, 2, (2, 3)))
    W_dec = torch.eye(3)[:, :2].contiguous()
    tensors = {"mean": mean, "b_enc": b_enc, "b_dec": b_dec, "W_enc": W_enc, "W_dec": W_dec}
    save_file({**tensors, "scale": torch.tensor(1.5)}, tmp_path / "sae.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(EARLIER))
    sae = load_sae(tmp_path)
    assert sae.architecture == TopK(d_sae=3, k=2, prefixes=(1,), lr=0.003) and sae.origin is None
    x = torch.randn(20, 2, generator=generator)
    pre = ((x - mean) / 1.5 - b_dec) @ W_enc + b_enc
    f = torch.where(pre > pre.min(1, keepdim=True).values, pre, 0).relu()  # 2 of 3
    torch.testing.assert_close(sae.encode(x), f, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sae(x), (f @ W_dec + b_dec) * 1.5 + mean, atol=1e-5, rtol=1e-5)


def test_what_saev_sae_exports_can_be_loaded():
    exported = {
        name: kind
        for name, kind in vars(saev.sae).items()
        if isinstance(kind, type) and issubclass(kind, Architecture) and kind is not Architecture
    }
    assert exported.keys() >= {"TopK", "Gated", "PCA"} and exported.items() <= architectures().items()


def test_an_architecture_of_ones_own_can_be_saved_and_loaded(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Halved(Architecture):
        def values(self, sae, pre, latents):
            return pre.relu() / 2

    sae, x = build(TopK(d_sae=S, k=S), dtype=torch.float32)
    halved = SAE(Halved(d_sae=S), sae.mean, sae.scale.item())
    halved.load_state_dict(sae.state_dict())
    save_sae(halved, tmp_path / "sae")
    torch.testing.assert_close(load_sae(tmp_path / "sae").encode(x), sae.encode(x) / 2)


def test_a_missing_checkpoint_says_where_one_is(tmp_path):
    with pytest.raises(SaevError, match=r"no SAE checkpoint there \(no config.json\); train one"):
        load_sae(tmp_path)
    save_sae(build(TopK(d_sae=S, k=4))[0].float(), tmp_path / "sae")
    with pytest.raises(SaevError, match=f"did you mean {tmp_path}/sae\\?"):
        load_sae(tmp_path)


def without(key):
    return {name: value for name, value in EARLIER.items() if name != key}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged: .+"),
        ("\xff", "damaged: .+"),
        ("[]", "not the config of an SAE"),
        (
            json.dumps(EARLIER | {"schema": 9}),
            "schema 9, architecture 'TopK'; this version reads schemas 1 to 3, and .*TopK.*",
        ),
        (json.dumps(EARLIER | {"architecture": "_K"}), "schema 1, architecture '_K'; this version reads .+"),
        (
            json.dumps(EARLIER | {"options": {"d_sae": 3, "novel": 1}}),
            "not understood by this version: .*novel.*",
        ),
        (
            json.dumps(EARLIER | {"options": {"d_sae": 3, "k": 4}}),
            r"sae.k must be an integer in \[1, 3\], got 4",
        ),
        (json.dumps(EARLIER | {"options": [3]}), "not understood by this version: .+"),
        (json.dumps(EARLIER | {"origin": {"layer": 3}}), "origin must hold backbone, .*, got {'layer': 3}"),
        (json.dumps(EARLIER | {"d": -2}), "not understood by this version: .+"),
        (json.dumps(without("d")), "not understood by this version: 'd'"),
    ],
)
def test_a_damaged_or_foreign_config_is_one_line(text, message, tmp_path):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(SaevError, match=f"^{tmp_path}/config.json: {message}$") as raised:
        load_sae(tmp_path)
    assert "\n" not in str(raised.value)


def test_damaged_or_foreign_weights_are_one_line(tmp_path):
    save_sae(build(TopK(d_sae=S, k=4))[0].float(), tmp_path / "sae")
    file = tmp_path / "sae" / "sae.safetensors"
    whole = file.read_bytes()
    for content in (whole[:-8], b"", whole.replace(b"W_enc", b"W_end")):
        file.write_bytes(content)
        with pytest.raises(SaevError, match=f"{file}: does not hold the SAE of its config.json") as raised:
            load_sae(tmp_path / "sae")
        assert "\n" not in str(raised.value)
    save_sae(SAE(TopK(d_sae=S, k=4), torch.zeros(D + 1), 1.0), tmp_path / "other")
    file.write_bytes((tmp_path / "other/sae.safetensors").read_bytes())
    with pytest.raises(SaevError, match="does not hold the SAE of its config.json"):
        load_sae(tmp_path / "sae")
