"""Writing the codes of a million tokens against the bare selection that it cannot do without.

python -m benchmarks.codes [--latents 24576]      prints one JSON line; three minutes on 2 cores

The tokens are the embedded study's training tokens (`make study` records them), as often as it takes. The SAE
is a TopK one of random directions: what it costs does not depend on what it has learnt.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.certified import ACTS, LAYER
from benchmarks.train_step import where
from saev.activations import Store
from saev.features import encode_tokens
from saev.machine.allocator import keep_freed_memory
from saev.sae import SAE, RandomDirections

TOKENS, BATCH = 10**6, 4096


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser()
    parser.add_argument("--latents", type=int, default=24576)
    latents = parser.parse_args().latents
    tokens = Store(ACTS / "train").tokens(LAYER)
    mean, scale = tokens.normalisation()
    sae = SAE(RandomDirections(d_sae=latents, k=32), torch.from_numpy(mean), scale).eval()
    passes = -(-TOKENS // tokens.n_vectors)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(passes):
            encode_tokens(sae, tokens, Path(folder, "codes.safetensors"), what="the SAE")
    written = passes * tokens.n_vectors / (time.perf_counter() - began)
    z_nd, seconds = torch.randn(BATCH, tokens.d), []
    with torch.no_grad():
        for _ in range(20):
            began = time.perf_counter()
            sae.scores(z_nd).largest(32)
            seconds.append(time.perf_counter() - began)
    bare = BATCH / sorted(seconds)[len(seconds) // 2]
    results = {"tokens": passes * tokens.n_vectors, "latents": latents, "written_per_s": round(written)}
    results |= {"selected_per_s": round(bare), "share": round(written / bare, 2)}
    print(json.dumps({"benchmark": "codes", **where("cpu"), "results": results}))


if __name__ == "__main__":
    main()
