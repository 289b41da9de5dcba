"""A full training step (forward, backward, clip, Adam, projection) against its encoder product alone.

python -m benchmarks.train_step [--kinds TopK ...] [--shapes 384x12288x2048 ...]      prints one JSON line
    --device cuda --shapes 768x24576x16384      on a GPU (not tried yet: none was at hand)

Medians, in one run, interleaved. `encoder_gemm` is the product (batch, d) x (d, s) with its
bias: no SAE can be trained without it. Latents are given the sparsity of a trained SAE: ReLU-like
ones start with a bias at which about 50 latents per token fire; for AuxK, half of the latents never fire.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from saev.machine.allocator import keep_freed_memory
from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.kernels.rough import rough_product
from saev.sae.objective import objective
from saev.sae.trained import Trained

SHAPES = [(384, 12288, 2048), (384, 12288, 4096), (768, 24576, 2048), (768, 24576, 4096)]  # d, latents, batch
K = 32


def architectures(d: int, s: int) -> dict:
    return {
        "TopK": TopK(d_sae=s, k=K),
        "TopK + AuxK": TopK(d_sae=s, k=K, aux_k=d // 2),
        "TopK, Matryoshka": TopK(d_sae=s, k=K, prefixes=(s // 16, s // 4)),
        "BatchTopK": BatchTopK(d_sae=s, k=K),
        "ReLU": ReLU(d_sae=s),
        "JumpReLU": JumpReLU(d_sae=s),
        "Gated": Gated(d_sae=s),
    }


def half_dead(s: int) -> Tensor:
    """Every other latent, for AuxK to revive."""
    return torch.arange(s) % 2 == 0


@torch.no_grad()
def start(W_enc: Tensor, b_enc: Tensor, x_nd: Tensor, *, limited: bool, dead: Tensor | None = None) -> None:
    """Set the bias of a new encoder (d, s) so that as many latents fire as in a trained one.

    That is 50 per token unless k limits them, and never those that are `dead`.
    """
    pre = x_nd[:256] @ W_enc + b_enc
    if not limited:
        b_enc -= pre.flatten().kthvalue(pre.numel() - 50 * len(pre)).values
    if dead is not None:
        b_enc[~dead.to(b_enc.device)] += (
            5 * pre.std()
        )  # raised above the dead, which have positive pre-activations still


class Step:
    """One SAE with its optimiser."""

    def __init__(self, architecture, d: int, precision: str, x_nd: Tensor):
        self.sae = SAE(architecture, torch.zeros(d), 1.0, precision=precision).to(x_nd.device)
        self.dead = half_dead(self.sae.d_sae).to(x_nd.device) if architecture.aux_k else None
        start(self.sae.W_enc, self.sae.b_enc, x_nd, limited=architecture.competitive, dead=self.dead)
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=1e-6, fused=True)

    def __call__(self, x_nd: Tensor) -> None:
        loss = objective(self.sae, x_nd, dead=self.dead).loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.sae.parameters(), 1.0)
        self.optimizer.step()
        self.sae.project()


def ours(architecture: Trained, name: str, x_nd: Tensor) -> dict[str, Step]:
    """The step as it is by default, and with nothing but float32 products; their codes are the same."""
    d = x_nd.shape[1]
    return {
        name: Step(architecture, d, "auto", x_nd),
        f"{name}, fp32 product": Step(architecture, d, "fp32", x_nd),
    }


def encoder_gemm(d: int, s: int, x_nd: Tensor) -> Callable[[Tensor], Tensor]:
    """The product alone, in float32 on a CPU, in bf16 on a GPU."""
    dtype = torch.float32 if x_nd.device.type == "cpu" else torch.bfloat16
    bias, x_nd, weight = (
        tensor.to(x_nd.device, dtype) for tensor in (torch.zeros(s), x_nd, torch.randn(s, d).t())
    )
    return lambda _: torch.addmm(bias, x_nd, weight)


def measure(
    steps: dict[str, Callable[[Tensor], object]], x_nd: Tensor, repeats: int
) -> dict[str, dict[str, float]]:
    """Medians over `repeats` rounds of every step, `encoder_gemm` among them, after a round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step(x_nd)
            if x_nd.is_cuda:
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    return {
        name: {
            "ms": round(1e3 * t, 1),
            "tokens_per_s": round(len(x_nd) / t),
            "times_gemm": round(t / median["encoder_gemm"], 2),
        }
        for name, t in median.items()
    }


def options(kinds: list[str]) -> argparse.Namespace:
    """The command line: kinds, shapes, repeats, device."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument(
        "--shapes", nargs="+", type=lambda text: tuple(map(int, text.split("x"))), default=SHAPES
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


def where(device: str) -> dict[str, object]:
    """What the times were taken on."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "selected_by": rough_product("auto", device) or "fp32",
    }


def label(d: int, s: int, batch: int) -> str:
    return f"d {d}, latents {s}, batch {batch}"


def main() -> None:
    keep_freed_memory()
    chosen = options(list(architectures(*SHAPES[0][:2])))
    results = {}
    for d, s, batch in chosen.shapes:
        torch.manual_seed(1)  # 0 draws the SAE, whose first directions would be these tokens
        x_nd = torch.randn(batch, d).to(chosen.device)
        steps = {"encoder_gemm": encoder_gemm(d, s, x_nd)}
        for kind in chosen.kinds:
            steps |= ours(architectures(d, s)[kind], kind, x_nd)
        results[label(d, s, batch)] = measure(steps, x_nd, chosen.repeats)
    print(
        json.dumps(
            {"benchmark": "train_step", **where(chosen.device), "repeats": chosen.repeats, "results": results}
        )
    )


if __name__ == "__main__":
    main()
