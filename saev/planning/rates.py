"""How fast a machine is: six rates, measured in some seconds, or read from a file."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from saev.checks import Options, above, check_arguments
from saev.errors import SaevError, first_line
from saev.planning.size import Shape

if TYPE_CHECKING:  # torch is loaded where something is measured
    from saev.machine import Machine

REFERENCE = {"d": 384, "d_sae": 2048, "k": 32, "n": 2048}
"""The training step by which `memory` is measured: that of the embedded study."""
REPEATS = 5
POSITIVE = above(0)


@dataclass(frozen=True, kw_only=True)
class Rates(Options, section="rates"):
    """Amounts per second, of what `saev.planning.Work` counts; `start` is seconds each."""

    name: str
    vit: Annotated[float, POSITIVE]
    """Floating-point operations per second of a ViT block, all of it."""
    product: Annotated[float, POSITIVE]
    """Of a float32 product, or bf16 on a GPU."""
    memory: Annotated[float, POSITIVE]
    """Bytes per second of the rest of a training step."""
    images: Annotated[float, POSITIVE]
    """Images decoded and resized per second."""
    disk: Annotated[float, POSITIVE]
    """Bytes written per second."""
    start: Annotated[float, POSITIVE]
    """Seconds until a stage begins: Python, torch."""

    @classmethod
    def read(cls, file: str | Path) -> "Rates":
        """From a YAML file with these keys. Raises SaevError if it has others, or is none."""
        import yaml

        try:
            told = yaml.safe_load(Path(file).read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise SaevError(f"{file}: no rates of a machine there: {first_line(error)}") from None
        check_arguments(f"{file}: rates", cls, told)
        return cls(**told)


def measure(shape: Shape, machine: "Machine") -> Rates:
    """The rates of this machine: of a block of this shape, and of all else as it is."""
    import torch

    device = machine.device
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    product = _product(device)
    return Rates(
        name=name,
        vit=_vit(shape, machine),
        product=product,
        memory=_memory(device, product),
        images=_images() * max(1, machine.loaders),
        disk=_disk(),
        start=_start(),
    )


def _median(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds of one of several calls, after one that is not counted."""
    import torch

    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def _vit(shape: Shape, machine: "Machine") -> float:
    import torch
    from timm.models.vision_transformer import Block

    n = 16 if machine.device.type == "cpu" else 128
    block = Block(shape.d, num_heads=max(1, shape.d // 64), qkv_bias=True).to(machine.device).eval()
    x_btd = torch.randn(n, shape.tokens, shape.d, device=machine.device)
    with torch.inference_mode(), machine.autocast():
        return n * shape.block / _median(lambda: block(x_btd))


def _product(device) -> float:
    import torch

    n, d, s = 4096, 768, 6144
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    x_nd, weight = (
        torch.randn(n, d, device=device, dtype=dtype),
        torch.randn(d, s, device=device, dtype=dtype),
    )
    out = torch.empty(n, s, device=device, dtype=dtype)
    return 2 * n * d * s / _median(lambda: torch.mm(x_nd, weight, out=out))


def _memory(device, product: float) -> float:
    """From a step of training a TopK SAE, of which the time of its products is taken off."""
    import torch

    from saev.planning.work import Dictionary, training
    from saev.sae import SAE, TopK
    from saev.sae.objective import objective

    d, s, k, n = REFERENCE.values()
    torch.manual_seed(1)
    sae, x_nd = SAE(TopK(d_sae=s, k=k), torch.zeros(d), 1.0).to(device), torch.randn(n, d, device=device)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(sae, x_nd).loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimizer.step()
        sae.project()

    work, took = training(Dictionary(d, s, k), n, 1), _median(step)
    # At least half: on a machine whose product is slow it may seem to have taken all of the time.
    return work.memory / max(took - work.product / product, took / 2)


def _images() -> float:
    """A photograph as ImageNet has them, 500 x 375 px, with one core."""
    import io

    import numpy as np
    from PIL import Image

    from saev.data.decode import decode

    pixels = np.random.default_rng(0).normal(128, 30, (47, 63, 3)).clip(0, 255).astype(np.uint8)
    body = io.BytesIO()
    Image.fromarray(pixels).resize((500, 375), Image.Resampling.BICUBIC).save(body, "JPEG", quality=90)

    def load() -> None:
        Image.fromarray(decode(body.getvalue(), "measured")).resize((298, 224), Image.Resampling.BICUBIC)

    return 1 / _median(load)


def _disk(n_bytes: int = 2**26) -> float:
    """Where we are, until it is on the disk."""
    import os

    block = os.urandom(n_bytes)
    with tempfile.TemporaryFile(dir=".") as file:

        def write() -> None:
            file.seek(0)
            file.write(block)
            file.flush()
            os.fsync(file.fileno())

        return n_bytes / _median(write, 2)


def _start() -> float:
    command = [sys.executable, "-c", "import saev.training, saev.backbones, timm"]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
