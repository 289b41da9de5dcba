"""Other libraries write their own checkpoints, ours reads them; SAELens reads ours. `make peers` runs it."""

import json
import math
from importlib import import_module

import pytest
import torch

from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats import (
    load_dictionary_learning,
    load_overcomplete,
    load_sae_lens,
    load_sparsify,
    load_visaebench,
    save_sae_lens,
)

lib = pytest.importorskip("benchmarks.peer_libraries", reason="make peers")

D, S, N, K = 12, 40, 64, 4


@pytest.fixture
def x():
    return 1 + 2 * torch.randn(N, D, generator=torch.Generator().manual_seed(0))


def stir(module) -> None:
    """Parameters away from their start, where biases are 0 and encoders transposed decoders."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.ndim:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


@torch.no_grad()
def agree(sae, codes, x_hat, x) -> None:
    ours = sae.encode(x)
    assert 0 < (codes > 0).float().mean() < 1
    assert torch.equal(ours > 0, codes > 0)
    assert (ours - codes).abs().max() <= 2e-6 * codes.max()
    assert (sae(x) - x_hat).abs().max() <= 3e-6 * x_hat.abs().max()


DICTIONARIES = {
    "standard.StandardTrainer": {"sparsity_warmup_steps": None},
    "standard.StandardTrainerAprilUpdate": {"sparsity_warmup_steps": None},
    "gdm.GatedSAETrainer": {"sparsity_warmup_steps": None},
    "jumprelu.JumpReluTrainer": {"sparsity_warmup_steps": None},
    "top_k.TopKTrainer": {"k": K},
    "batch_top_k.BatchTopKTrainer": {"k": K, "threshold_start_step": 0},
}


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionary_learning(name, x, tmp_path):
    """Trained and saved by it, on activations that it normalises; a large step, for biases away from 0."""
    module, name_of_class = name.split(".")
    shapes = {"activation_dim": D, "dict_size": S, "steps": 9, "warmup_steps": 0, "lr": 0.05, "seed": 0}
    trainer = getattr(import_module(f"dictionary_learning.trainers.{module}"), name_of_class)
    config = {
        "trainer": trainer,
        "layer": 0,
        "lm_name": "none",
        "device": "cpu",
        **shapes,
        **DICTIONARIES[name],
    }
    import_module("dictionary_learning.training").trainSAE(
        [x] * 10, [config], steps=9, save_dir=tmp_path, normalize_activations=True, device="cpu"
    )
    peer, _ = lib.load_dictionary(tmp_path / "trainer_0", "cpu")
    agree(load_dictionary_learning(tmp_path / "trainer_0"), peer.encode(x), peer(x), x)


@pytest.mark.parametrize("name", ["AutoEncoderNew", "MatryoshkaBatchTopKSAE"])
def test_dictionary_learning_untrained(name, x, tmp_path):
    """It has no trainer of the first, and that of the second ends in NaN here."""
    utils = import_module("dictionary_learning.utils")
    options = {"k": K, "group_sizes": [10, 10, S - 20]} if name.startswith("Matryoshka") else {}
    peer = getattr(utils, name)(D, S, **options)
    stir(peer)
    if options:
        peer.threshold.fill_(0.8)
    (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": name, **options}}))
    torch.save(peer.state_dict(), tmp_path / "ae.pt")
    peer, _ = lib.load_dictionary(tmp_path, "cpu")
    agree(load_dictionary_learning(tmp_path), peer.encode(x), peer(x), x)


@pytest.mark.parametrize("config", [{"num_latents": S}, {"expansion_factor": 3}])
def test_sparsify(config, x, tmp_path):
    peer = lib.sparsify.SparseCoder(D, lib.sparsify.SparseCoderConfig(k=K, **config))
    stir(peer)
    peer.save_to_disk(tmp_path)
    peer = lib.sparsify.SparseCoder.load_from_disk(tmp_path)
    values, latents, pre = peer.encode(x)
    codes = torch.zeros_like(pre).scatter(1, latents, values)
    agree(load_sparsify(tmp_path), codes, peer.decode(values, latents), x)


@pytest.mark.parametrize("encoder", ["linear", "mlp_bn_1"])
@pytest.mark.parametrize("name", ["SAE", "TopKSAE", "BatchTopKSAE", "JumpSAE", "RATopKSAE", "RAJumpSAE"])
def test_overcomplete(name, encoder, x, tmp_path):
    """Written while it was training, as its users do."""
    options = {"encoder_module": encoder}
    if name.startswith("RA"):
        options["points"] = torch.randn(50, D, generator=torch.Generator().manual_seed(2))
    if "TopK" in name:
        options["top_k"] = K * N if name.startswith("Batch") else K
    peer = getattr(lib.overcomplete, name)(D, S, **options)
    stir(peer)
    for _ in range(20):
        peer(x)  # what a BatchNorm and a BatchTopK keep of batches
    peer.eval()
    torch.save(peer.state_dict(), tmp_path / "sae.pt")
    given = {"k": K} if "TopK" in name else {}
    given |= {"threshold": peer.running_threshold.item()} if name == "BatchTopKSAE" else {}
    _, codes, x_hat = peer(x)
    agree(load_overcomplete(tmp_path / "sae.pt", kind=name, **given), codes, x_hat, x)


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu"])
@pytest.mark.parametrize("style", ["simple", "overcomplete"])
def test_visaebench(style, kind, x, tmp_path):
    """It has no function that saves: a state dict and a config as its sweep wrote them."""
    generator, mean, std = torch.Generator().manual_seed(3), x.mean(0), x.var(0).mean().sqrt().item()
    writer = lib.overcomplete.TopKSAE(D, S, top_k=K)
    stir(writer)
    state = writer.eval().state_dict()
    if style == "simple":
        names = ("encoder.weight", "encoder.bias", "decoder.weight")
        state = dict(zip(names, list(state.values())[:3], strict=True))
        state["decoder.bias"] = torch.randn(D, generator=generator)
    if kind == "jumprelu":
        state["jump_thresholds"] = torch.rand(S, generator=generator)
    torch.save(state, tmp_path / "sae.pt")
    config = {"architecture": kind, "d_model": D, "dict_size": S, "k": K, "threshold": math.pi / 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    peer = lib.visaebench.load_sae(str(tmp_path), device="cpu")
    codes, z_hat = peer((x - mean) / std)
    agree(load_visaebench(tmp_path, mean=mean, scale=std), codes, z_hat * std + mean, x)


def random_sae(architecture) -> SAE:
    sae = SAE(architecture, torch.linspace(-1, 1, D), 2.5, seed=2)
    stir(sae)
    if isinstance(architecture, BatchTopK):
        sae.threshold.fill_(0.7)
    return sae.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "architecture",
    [
        TopK(d_sae=S, k=K),
        BatchTopK(d_sae=S, k=K),
        ReLU(d_sae=S),
        JumpReLU(d_sae=S, theta=0.4),
        Gated(d_sae=S),
    ],
    ids=lambda a: type(a).__name__,
)
def test_sae_lens_reads_what_we_write(architecture, x, tmp_path):
    sae = random_sae(architecture)
    save_sae_lens(sae, tmp_path / "lens", model_name="dinov2")
    peer = lib.sae_lens.SAE.load_from_disk(tmp_path / "lens")
    assert peer.cfg.metadata.model_name == "dinov2"
    agree(sae, peer.encode(x), peer(x), x)
    agree(load_sae_lens(tmp_path / "lens"), peer.encode(x), peer(x), x)


LENSES = {
    "TopK": {"k": K},
    "Standard": {},
    "JumpReLU": {"jumprelu_init_threshold": 0.4},
    "Gated": {},
    "BatchTopK": {"k": 4.5},
    "MatryoshkaBatchTopK": {"k": 4.0, "matryoshka_widths": [10, 20, S]},
}


@pytest.mark.parametrize("save", ["save_model", "save_inference_model"])
@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("name", LENSES)
def test_we_read_what_sae_lens_writes(name, subtracts, save, x, tmp_path):
    config, peer = (getattr(lib.sae_lens, f"{name}TrainingSAE{suffix}") for suffix in ("Config", ""))
    options = {"decoder_init_norm": None, "apply_b_dec_to_input": subtracts}  # norms differ from 1
    peer = peer(config(d_in=D, d_sae=S, **options, **LENSES[name]))
    stir(peer)
    if hasattr(peer, "topk_threshold"):
        peer.topk_threshold.fill_(0.8)
    getattr(peer, save)(tmp_path / "read")
    peer.save_inference_model(tmp_path / "reference")  # theirs has no SAE for every training checkpoint
    peer = lib.sae_lens.SAE.load_from_disk(tmp_path / "reference")
    agree(load_sae_lens(tmp_path / "read"), peer.encode(x), peer(x), x)


def test_both_read_a_folder_of_before_version_6(x, tmp_path):
    sae = random_sae(TopK(d_sae=S, k=K))
    save_sae_lens(sae, tmp_path / "lens")
    config = {
        "d_in": D,
        "d_sae": S,
        "hook_point": "blocks.3.hook_resid_post",
        "dtype": "float32",
        "device": "cpu",
    }
    config |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": False}
    (tmp_path / "lens/cfg.json").write_text(json.dumps(config))
    peer = lib.sae_lens.SAE.load_from_disk(tmp_path / "lens")
    agree(load_sae_lens(tmp_path / "lens"), peer.encode(x), peer(x), x)
