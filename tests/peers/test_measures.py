"""Measures of ViSAEBench where they are right; docs/measures.md has the others. `make peers` runs it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import torch

from saev.activations import Store
from saev.evaluation import measure_reconstruction
from saev.probing import monosemanticity
from saev.sae import load_sae

pytest.importorskip("benchmarks.peer_libraries", reason="make peers")

from visaebench.metrics.concept_detection.monosemanticity import MonosemanticityScore
from visaebench.metrics.reconstruction.fvu import FVU

ROOT, CELL = Path(__file__).parents[2], "mosaic-dinov2_packaged-L10-topk"
STUDY = pytest.mark.skipif(not (ROOT / "data/sae" / CELL).is_dir(), reason="make study")
N, D, S = 60, 12, 40


@STUDY
def test_l0_and_dead_latents_of_the_embedded_study():
    """Its tokens, encoded and counted by the peer's loop over batches; and what the study says of them."""
    sae = load_sae(ROOT / "data/sae" / CELL)
    tokens = Store(ROOT / "data/acts/mosaic-dinov2_packaged/val").tokens(10)
    x_nd = torch.cat([torch.from_numpy(chunk.x_btd).flatten(0, 1).float() for chunk in tokens.chunks()])
    peer = FVU().compute(sae, x_nd, device="cpu", dict_size=sae.d_sae).metadata
    told = json.loads((ROOT / "results/evaluate" / CELL / "metrics.json").read_text())["val"]
    ours = measure_reconstruction({"it": sae}, tokens)["it"].metrics
    for found in (told, ours):
        assert found["n_tokens"] == peer["n_tokens"] == len(x_nd)
        assert found["l0"] == pytest.approx(peer["l0"], rel=1e-3)
        assert found["dead"] == pytest.approx(peer["dead_pct"] / 100, abs=1e-3)


def test_monosemanticity_before_its_null_is_taken_off():
    """Of all images on which a latent fires, whose embeddings have no common part."""
    rng = np.random.default_rng(0)
    codes = rng.exponential(size=(N, S)) * (rng.random((N, S)) < 0.3)
    codes[:, 0], codes[0] = 0, 0  # a silent latent; for each an image where it is silent: the smallest code
    e_ud = rng.normal(size=(N, D))
    for _ in range(50):  # of length 1 and of mean 0
        e_ud -= e_ud.mean(0)
        e_ud /= np.linalg.norm(e_ud, axis=1, keepdims=True)
    looks = SimpleNamespace(
        extract_activations=lambda images, layer: torch.tensor(e_ud[images])[:, None].float()
    )
    itself = SimpleNamespace(encode=lambda x_nd: x_nd)
    x_btd = torch.from_numpy(codes).float()[:, None]
    peer = MonosemanticityScore(top_k_images=N).compute(
        itself, x_btd, device="cpu", images=range(N), evaluator_backbone=looks
    )
    ours = monosemanticity(scipy.sparse.csr_array(codes.astype(np.float32)), e_ud, times=0)
    value_s = ours.value_s[~np.isnan(ours.value_s)] + ours.null
    np.testing.assert_allclose(value_s, peer.metadata["ms_distribution"], atol=1e-4)
