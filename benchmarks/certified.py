"""Codes selected by a rough product against those of float32, on real tokens and trained SAEs.

python -m benchmarks.certified [--latents 8192] [--steps 150]   prints one JSON line; eight minutes on 2 cores

The tokens are 100,000 of the embedded study's (its activations must be recorded: `make study`), the SAEs one
of each architecture, trained on its training tokens. Per architecture: the share of tokens with the same
active latents, the largest difference between codes over the largest code, and the share of tokens that
`largest` did again in float32. Where two ways of float32 disagree at a tie (float64
tells: the margin is below 10^-5 of the largest code), neither is wrong; `ties` is the share of such tokens.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.train_step import where
from saev.activations import Store
from saev.machine import Machine
from saev.machine.allocator import keep_freed_memory
from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.kernels.certified import Certified
from saev.training import Training, fit

ACTS, LAYER, N, BATCH = Path("data/acts/mosaic-dinov2_packaged"), 10, 100_000, 2048
TIE = 1e-5


def tokens_to_read() -> torch.Tensor:
    """(N, d) activations, of both splits, spread over the images."""
    found = []
    for split in ("val", "train"):
        tokens = Store(ACTS / split).tokens(LAYER)
        images = np.arange(tokens.store.n_images)[:, None]
        found.append(tokens.at(images, np.arange(0, tokens.per_image, 4 if split == "train" else 1)))
    x_nd = np.concatenate([part.reshape(-1, part.shape[-1]) for part in found])[:N]
    return torch.from_numpy(x_nd).float()


def compared(sae: SAE, x_nd: torch.Tensor) -> dict[str, float]:
    same = ties = unproven = 0
    worst = 0.0
    for batch in x_nd.split(BATCH):
        codes = {}
        for sae.precision in ("fp32", "auto"):
            codes[sae.precision] = sae.codes(batch)
        fp32, auto = (found.dense(sae.s) for found in codes.values())
        alike = ((fp32 > 0) == (auto > 0)).all(1)
        largest = fp32.amax().item()
        unlike = ((fp32 > 0) != (auto > 0)) & ~alike[:, None]
        # A tie: what one has and the other has not is next to nothing away from what decides.
        ties += int(margins(sae, batch, unlike, largest))
        same += int(alike.sum())
        worst = max(worst, ((fp32 - auto).abs()[alike].amax() / largest).item())
        scores = sae.scores(sae.normalise(batch))
        if isinstance(scores, Certified) and isinstance(sae.architecture, TopK):
            scores.largest(sae.architecture.k)
            unproven += scores.unproven
    n = len(x_nd)
    return {
        "same": same / n,
        "ties": ties / n,
        "worst": float(f"{worst:.1e}"),
        "unproven": unproven / n,
    }


def margins(sae: SAE, x_nd: torch.Tensor, unlike_ns: torch.Tensor, largest: float) -> int:
    """How many tokens differ in latents alone whose scores are, in float64, tied with each other."""
    count = 0
    for n in unlike_ns.any(1).nonzero()[:, 0].tolist():
        latents = unlike_ns[n].nonzero()[:, 0]
        z = sae.normalise(x_nd[n].double())
        pre = (z - sae.b_dec.double()) @ sae.W_enc[:, latents].double() + sae.b_enc[latents].double()
        count += bool(pre.amax() - pre.amin() < TIE * largest)
    return count


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser()
    parser.add_argument("--latents", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=150)
    chosen = parser.parse_args()
    members = {
        "TopK": TopK(d_sae=chosen.latents, k=32),
        "BatchTopK": BatchTopK(d_sae=chosen.latents, k=32),
        "ReLU": ReLU(d_sae=chosen.latents, l1=1.0),
        "JumpReLU": JumpReLU(d_sae=chosen.latents),
        "Gated": Gated(d_sae=chosen.latents, l1=1.0),
    }
    options = Training(steps=chosen.steps)
    with tempfile.TemporaryDirectory() as folder:
        train = Store(ACTS / "train").tokens(LAYER)
        fitted = fit(members, train, options=options, seed=0, machine=Machine(), working=Path(folder))
    x_nd = tokens_to_read()
    results = {name: compared(found.sae, x_nd) for name, found in fitted.items()}
    print(json.dumps({"benchmark": "certified", **where("cpu"), **vars(chosen), "results": results}))


if __name__ == "__main__":
    main()
