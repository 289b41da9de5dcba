"""Where the time of a study goes, and how much of it the matrix products need.

python -m benchmarks.stages      runs the study anew (`dvc repro --force`) and prints one JSON line

The seconds of a stage, over all of its cells, run from DVC's announcement of each to the next: starting
Python, hashing what goes in and comes out, and caching it included. `products` are the seconds that its dense
products would take alone, at the rate measured here first: of the blocks of the ViT that its images pass, and
of the SAEs' encoders for their tokens. Where there is none (logistic regressions, matching latents with
concepts, pictures; and interventions, which only pass images that an edit changes) no such limit is known.
"""

import json
import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from benchmarks.train_step import where
from pipeline.cell import grid
from saev.activations import Store
from saev.machine import Machine
from saev.machine.allocator import keep_freed_memory
from saev.training import TWINS

ROOT = Path(__file__).parents[1]


def rate(dtype: torch.dtype) -> float:
    """Floating-point operations per second of a product of a block's MLP, 16 images at once."""
    a, b = torch.randn(4112, 384).to(dtype), torch.randn(384, 1536).to(dtype)
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * a.numel() * b.shape[1] / sorted(seconds)[len(seconds) // 2]


def operations(data: str, backbone: str, layer: int, sae: str) -> dict[str, dict[str, float]]:
    """What the dense products of a cell take in each stage: of the ViT, and of the encoder."""
    chosen = [f"data={data}", f"backbone={backbone}", f"layer={layer}", f"sae={sae}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        words = [*chosen, f"trainer={grid()['trainer']}"]
        train, evaluate = compose("train", words), compose("evaluate", chosen).evaluate
    stores = {split: Store(path) for split, path in train.acts.items()}
    n, val = sum(store.n_images for store in stores.values()), stores["val"]
    d, t, patches = val.d, val.n_tokens, val.grid[0] * val.grid[1]
    block = 24 * t * d * d + 4 * t * t * d  # of an image: q, k, v, out and an MLP of four times the width
    before, after = layer + 1, val.attrs["n_blocks"] - 1 - layer
    encoder = 2 * d * train.sae.d_sae  # of a token
    steps = json.loads(Path(train.results.train, "curve.json").read_text())[-1]["step"] + 1
    seen = evaluate.train_images + val.n_images
    floors = json.loads(Path(train.floors_dir, "floors.json").read_text())["floors"]
    twins = sum(name in TWINS for name in floors)
    return {
        "extract": {"vit": n * before * block},
        "train": {"encoder": steps * train.trainer.batch_size * encoder},
        "floors": {"encoder": twins * steps * train.trainer.batch_size * encoder},
        "features": {"encoder": n * patches * encoder},
        "evaluate": {
            "encoder": seen * patches * encoder,
            "vit": 3 * evaluate.fidelity_images * after * block,
        },
    }


def timed() -> dict[str, float]:
    """Seconds of every stage, as DVC runs them."""
    seen, began = [], time.perf_counter()
    command = ["dvc", "repro", "--force"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="", file=sys.stderr)
            if found := re.match(r"Running stage '(\w+)", line):
                seen.append((found[1], time.perf_counter()))
    if process.returncode:
        raise SystemExit("the study did not run through")
    seconds: dict[str, float] = {}
    for (name, start), (_, end) in zip(seen, [*seen[1:], ("", time.perf_counter())], strict=True):
        seconds[name] = seconds.get(name, 0.0) + end - start
    return seconds | {"total": time.perf_counter() - began}


def main() -> None:
    keep_freed_memory()
    fp32, bf16 = rate(torch.float32), rate(torch.bfloat16)
    rates = {"vit": bf16 if Machine().bf16 else fp32, "encoder": fp32}
    seconds, study = timed(), grid()
    products: dict[str, float] = {}
    for data, backbone in product(study["data"], study["backbones"]):
        recorded = 0.0  # in one pass for all layers and SAEs
        for cell in product(study["layers"], study["saes"]):
            for stage, parts in operations(data, backbone, *cell).items():
                took = sum(count / rates[part] for part, count in parts.items())
                if stage == "extract":
                    recorded = max(recorded, took)
                else:
                    products[stage] = products.get(stage, 0.0) + took
        products["extract"] = products.get("extract", 0.0) + recorded
    stages = {name: {"seconds": round(took, 1)} for name, took in seconds.items()}
    for name, took in products.items():
        stages[name]["products"] = round(took, 1)
    gflops = {part: round(value / 1e9) for part, value in rates.items()}
    print(json.dumps({"benchmark": "stages", **where("cpu"), "gflops": gflops, "stages": stages}))


if __name__ == "__main__":
    main()
