"""What keeping freed memory in the process is worth: the same work with and without it, in fresh processes.

python benchmarks/allocator.py        prints one JSON line
"""

import json
import statistics
import subprocess
import sys
import time


def median_seconds(work, repeats: int = 7) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(keep: bool) -> dict[str, float]:
    from saev.machine.allocator import keep_freed_memory

    if keep:
        keep_freed_memory()
    import torch

    from saev.backbones import packaged_dinov2
    from saev.machine import Machine

    vit, images = packaged_dinov2(), torch.randn(32, 3, 224, 224)
    x, weight = torch.randn(2048, 384), torch.randn(384, 12288)
    with torch.inference_mode(), Machine(accelerator="cpu").autocast():
        vit_seconds = median_seconds(lambda: vit(images))
    return {
        "vit_s14_images_per_s": 32 / vit_seconds,
        "encoder_gemm_fp32_ms": 1e3 * median_seconds(lambda: x @ weight),
    }


def in_a_fresh_process(how: str) -> dict[str, float]:
    command = [sys.executable, __file__, how]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1] == "keep_freed_memory")))
    else:
        found = {how: in_a_fresh_process(how) for how in ("default", "keep_freed_memory")}
        print(json.dumps({"benchmark": "allocator", **found}))
