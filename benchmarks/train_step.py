"""A full training step (forward, backward, clip, Adam, projection) against its encoder product alone.

python -m benchmarks.train_step [ARCHITECTURE ...]      prints one JSON line

Medians of 5, in one run, interleaved. `encoder_gemm` is the product (batch, d) x (d, s) with its
bias: no SAE can be trained without it. Latents are given the sparsity of a trained SAE: ReLU-like
ones start with a bias at which about 50 latents per token fire.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn

from saev.allocator import keep_freed_memory
from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.objectives import objective

SHAPES = [(384, 12288, 2048)]  # d, latents, batch
REPEATS = 5


def architectures(s: int) -> dict:
    return {
        "TopK": TopK(d_sae=s, k=32),
        "TopK + AuxK": TopK(d_sae=s, k=32, aux_k=256),
        "TopK, Matryoshka": TopK(d_sae=s, k=32, prefixes=(s // 16, s // 4)),
        "BatchTopK": BatchTopK(d_sae=s, k=32),
        "ReLU": ReLU(d_sae=s),
        "JumpReLU": JumpReLU(d_sae=s),
        "Gated": Gated(d_sae=s),
    }


class Step:
    """One SAE with its optimiser."""

    def __init__(self, architecture, d: int, precision: str, x_nd: torch.Tensor):
        self.sae = SAE(architecture, torch.zeros(d), 1.0, precision=precision)
        self.dead = torch.arange(self.sae.d_sae) % 4 == 0 if architecture.aux_k else None
        if not hasattr(architecture, "k"):
            with torch.no_grad():
                pre = self.sae.pre_activations(x_nd[:256]).float()
                self.sae.b_enc -= pre.flatten().kthvalue(pre.numel() - 50 * 256).values
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=1e-6, fused=True)

    def __call__(self, x_nd: torch.Tensor) -> None:
        loss = objective(self.sae, x_nd, dead=self.dead).loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.sae.parameters(), 1.0)
        self.optimizer.step()
        self.sae.project()


def measure(d: int, s: int, batch: int, precision: str, chosen: list[str]) -> dict:
    torch.manual_seed(0)
    x_nd, bias = torch.randn(batch, d), torch.zeros(s)
    weight = torch.randn(s, d).t()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    gemm = (bias.to(dtype), x_nd.to(dtype), weight.to(dtype))
    runs = {"encoder_gemm": lambda: torch.addmm(*gemm)}
    for name, architecture in architectures(s).items():
        if not chosen or name in chosen:
            step = Step(architecture, d, precision, x_nd)
            runs[name] = lambda step=step: step(x_nd)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    return {
        name: {"ms": round(1e3 * t, 1), "tokens_per_s": round(batch / t), "times_gemm": round(t / median["encoder_gemm"], 2)}
        for name, t in median.items()
    }


def main(*chosen: str) -> None:
    keep_freed_memory()
    out = {
        f"d {d}, latents {s}, batch {batch}, {precision}": measure(d, s, batch, precision, list(chosen))
        for d, s, batch in SHAPES
        for precision in ("fp32", "bf16")
    }
    print(json.dumps({"benchmark": "train_step", "threads": torch.get_num_threads(), "results": out}))


if __name__ == "__main__":
    main(*sys.argv[1:])
