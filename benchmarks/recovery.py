"""Does each architecture find the truth? SAEs on data of a known dictionary (saev.evaluation.synthetic).

python -m benchmarks.recovery      prints one JSON line; takes two minutes on 2 cores

The easy setting: 128 features in 64 dimensions, 4 active per token, SAEs of 192 latents, 3,000 steps of
1,024 tokens; baselines are fitted to 20,000 tokens. Coefficients are the first that were tried with which L0
comes within a factor 3 of the truth.
"""

import json

from saev.evaluation.synthetic import Truth, recovery, train_on
from saev.sae import PCA, BatchTopK, Gated, JumpReLU, KMeans, Neurons, RandomDirections, ReLU, SemiNMF, TopK

STEPS = 3000
MEMBERS = {
    "TopK": TopK(d_sae=192, k=4, lr=3e-3),
    "TopK, AuxK": TopK(d_sae=192, k=4, lr=3e-3, aux_k=16, dead_after=50_000),
    "TopK, AuxK on all tokens": TopK(d_sae=192, k=4, lr=3e-3, aux_k=16, dead_after=50_000, aux_tokens=1),
    "TopK, Matryoshka": TopK(d_sae=192, k=4, lr=3e-3, prefixes=(64,)),
    "BatchTopK": BatchTopK(d_sae=192, k=4, lr=3e-3),
    "ReLU": ReLU(d_sae=192, l1=2.0, lr=3e-3),
    "JumpReLU": JumpReLU(d_sae=192, l0=0.5, lr=3e-3),
    "Gated": Gated(d_sae=192, l1=4.0, lr=3e-3),
    "TopK, data-point start": TopK(d_sae=192, k=4, lr=3e-3, data_init=0.8),
    "TopK, k falls from 16": TopK(d_sae=192, k=4, k_start=16, lr=3e-3),
    "TopK, Muon": TopK(d_sae=192, k=4, lr=3e-3, optimizer="muon"),
    "ReLU, free norms": ReLU(d_sae=192, l1=2.0, lr=3e-3, unit_norm=False),
    "RandomDirections": RandomDirections(d_sae=192, k=4),
    "Neurons": Neurons(d_sae=128),
    "PCA": PCA(d_sae=128, n_sample=20_000),
    "KMeans": KMeans(d_sae=192, n_sample=20_000),
    "SemiNMF": SemiNMF(d_sae=192, n_sample=20_000),
}

if __name__ == "__main__":
    truth = Truth()
    saes = train_on(truth, list(MEMBERS.values()), steps=STEPS)
    results = {
        name: {key: round(value, 3) for key, value in recovery(sae, truth).items()}
        for name, sae in zip(MEMBERS, saes, strict=True)
    }
    print(json.dumps({"benchmark": "recovery", "results": results}))
