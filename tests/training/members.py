"""Members, options and helpers that the tests of training share."""

import hashlib

from saev.machine import Machine
from saev.sae import (
    PCA,
    SAE,
    BatchTopK,
    Gated,
    JumpReLU,
    KMeans,
    Neurons,
    RandomDirections,
    ReLU,
    SemiNMF,
    TopK,
)
from saev.training import Training, fit

OPTIONS = Training(steps=30, batch_size=64, window=4, checkpoint_every=8, precision="fp32")
CPU = Machine(accelerator="cpu", devices=1)

EVERY = {  # one of every architecture, and of every option that changes what is shared or remembered
    "topk": TopK(d_sae=48, k=6, lr=2e-3),
    "topk-k0.5": TopK(d_sae=48, k=3, prefixes=(8,), lr=5e-3),  # a name need not be a Python name
    "muon": TopK(d_sae=96, k=2, optimizer="muon", data_init=0.8, k_start=4, aux_k=4, dead_after=128, lr=2e-3),
    "batchtopk": BatchTopK(d_sae=48, k=4, random_prefixes=2, lr=5e-3),
    "relu": ReLU(d_sae=32, l1=0.5, unit_norm=False),
    "jumprelu": JumpReLU(d_sae=48, theta=0.05),
    "gated": Gated(d_sae=40, l1=0.3),
    "random": RandomDirections(d_sae=30, k=3),
    "neurons": Neurons(d_sae=48),
    "pca": PCA(d_sae=10),
    "kmeans": KMeans(d_sae=12),
    "seminmf": SemiNMF(d_sae=12, rounds=4),
}
FEW = {name: EVERY[name] for name in ("topk", "relu")}


def train(tokens, members, working, options=OPTIONS, machine=CPU, seed=4):
    return fit(members, tokens, options=options, seed=seed, machine=machine, working=working)


def sha256(sae: SAE) -> str:
    """Of all that a checkpoint of the SAE would hold."""
    found = hashlib.sha256()
    for key, value in sae.state_dict().items():
        found.update(key.encode() + value.numpy().tobytes())
    return found.hexdigest()


def same(one, other) -> bool:
    """Whether two results of `fit` are the same bytes and the same curves."""
    return one.keys() == other.keys() and all(
        sha256(one[name].sae) == sha256(other[name].sae) and one[name].curve == other[name].curve
        for name in one
    )
