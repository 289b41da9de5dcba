"""The model: its start, its projection, its identity, and whose tokens it reads."""

from types import SimpleNamespace

import pytest
import torch

from saev.activations import Origin
from saev.errors import SaevError
from saev.sae import PCA, SAE, JumpReLU, KMeans, Neurons, RandomDirections, SemiNMF, TopK, load_sae, save_sae
from tests.sae.examples import D, S, build

A = Origin("timm/a", "0123", "64x64 px; 1 cls, 16 patch", 10, ("patch",), "photographs")


def test_start_is_unit_norm_and_tied_but_not_shared():
    sae = SAE(TopK(d_sae=S, k=4), torch.zeros(D), 1.0, seed=5)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(S))
    assert torch.equal(sae.W_enc, sae.W_dec.T)
    assert sae.W_enc.data_ptr() != sae.W_dec.data_ptr()


def test_projection_brings_trained_rows_to_unit_norm_and_thresholds_above_0():
    sae, _ = build(JumpReLU(d_sae=S), dtype=torch.float32)
    with torch.no_grad():
        sae.W_dec.mul_(3)
        sae.theta[::2] = -0.5
    before = sae.W_dec.clone()
    sae.project()
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(S))
    torch.testing.assert_close(sae.W_dec * before.norm(dim=1, keepdim=True), before)
    assert (sae.theta[::2] == 0).all() and (sae.theta[1::2] > 0).all()


@pytest.mark.parametrize(
    "architecture",
    [
        TopK(d_sae=S, k=4, unit_norm=False),
        RandomDirections(d_sae=S, k=4),
        Neurons(d_sae=2 * D),
        PCA(d_sae=S),
        KMeans(d_sae=S),
        SemiNMF(d_sae=S),
    ],
    ids=lambda a: type(a).__name__,
)
def test_projection_leaves_free_rows_and_baselines_alone(architecture):
    sae = SAE(architecture, torch.zeros(D), 1.0)
    with torch.no_grad():
        sae.W_dec.mul_(3)
    before = sae.digest()
    sae.project()
    assert sae.digest() == before


def test_a_shard_knows_its_latents_and_those_of_all():
    parts = [SAE(TopK(d_sae=7, k=2), torch.zeros(D), 1.0, shard=(shard, 3)) for shard in range(3)]
    assert [(sae.s, sae.d_sae, len(sae.W_dec), sae.W_enc.shape[1]) for sae in parts] == [
        (3, 7, 3, 3),
        (2, 7, 2, 2),
        (2, 7, 2, 2),
    ]


def test_digest_is_that_of_the_architecture_and_the_weights(tmp_path):
    sae = SAE(TopK(d_sae=3, k=2, prefixes=(1,)), torch.arange(2.0), 1.5)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.arange(parameter.numel()).view(parameter.shape))
    assert sae.digest() == "cb93e10c703c11aa"  # codes on disk name their SAE by it
    save_sae(sae, tmp_path / "sae")
    assert load_sae(tmp_path / "sae").digest() == sae.digest()
    with torch.no_grad():
        sae.b_dec[1] += 1e-6
    assert load_sae(tmp_path / "sae").digest() != sae.digest()
    same_weights = [
        SAE(kind(d_sae=3, k=k), torch.zeros(2), 1.0) for kind in (TopK, RandomDirections) for k in (1, 2)
    ]
    assert len({each.digest() for each in same_weights}) == 4  # their codes differ


def test_tokens_must_be_of_the_origin_but_for_the_images(tmp_path):
    sae, _ = build(TopK(d_sae=S, k=4), dtype=torch.float32)
    sae.origin = A
    save_sae(sae, tmp_path / "sae")
    loaded = load_sae(tmp_path / "sae")
    assert loaded.origin == A

    def tokens(origin):
        return SimpleNamespace(origin=origin, d=D, path="data/acts/y")

    loaded.check_tokens(tokens(A._replace(data="paintings")), "data/sae/x")
    with pytest.raises(SaevError) as raised:
        loaded.check_tokens(tokens(A._replace(layer=4, backbone="timm/b")), "data/sae/x")
    for part in ("data/sae/x", "data/acts/y", "10", "4", "'timm/a'", "'timm/b'"):
        assert part in str(raised.value)


def test_without_an_origin_the_width_is_checked(stores):
    tokens = stores["val"].tokens(2)
    SAE(TopK(d_sae=S, k=4), torch.zeros(24), 1.0).check_tokens(tokens, "data/sae/x")
    with pytest.raises(SaevError) as raised:
        build(TopK(d_sae=S, k=4))[0].check_tokens(tokens, "data/sae/x")
    assert (
        str(raised.value) == f"{tokens.path}: activations have width 24, data/sae/x was trained on width 12"
    )
