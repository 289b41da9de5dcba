"""Recording a store against the bare model: timm's forward pass to the same block, same dtype and batches.

python -m benchmarks.extraction      prints one JSON line

The model is the packaged DINOv2 ViT-S/14 at layer -2, in the precision that `auto` means here. Both
sides are measured in turn, and the ratios are of medians of 5. `decoded`: images are in memory
as uint8 of the right size. `with_decoding`: JPEG files of 256 px on disk, loaded as by default;
`decoding` is what a core decodes alone, so that one sees whether it is the bottleneck.
"""

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from saev.activations import Recording, record
from saev.backbones import packaged_dinov2
from saev.data import ImageFolder, Mosaic, Sample
from saev.machine import Machine
from saev.machine.allocator import keep_freed_memory

N_IMAGES, BATCH, REPEATS = 256, 16, 5
MACHINE = Machine(accelerator="cpu")


class Decoded:
    """Images that are already arrays."""

    classes, fingerprint = ("thing",), "decoded"

    def __init__(self, images: list[np.ndarray]):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        return str(i)

    def __getitem__(self, i: int) -> Sample:
        return Sample(self.images[i], 0)


def bare(model: torch.nn.Module, n_blocks: int, inputs: torch.Tensor) -> float:
    """Images/s of timm's model alone, inputs ready."""
    model.blocks = model.blocks[:n_blocks]
    start = time.perf_counter()
    with torch.inference_mode(), MACHINE.autocast():
        for batch in inputs.split(BATCH):
            model.blocks(model.norm_pre(model._pos_embed(model.patch_embed(batch))))
    return len(inputs) / (time.perf_counter() - start)


def ours(backbone, images) -> float:
    """Images/s of `record`, everything included."""
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        record(
            backbone,
            images,
            Path(directory, "store"),
            working=Path(directory, "w"),
            options=Recording(layers=(-2,), batch_size=BATCH),
            machine=MACHINE,
        )
        return len(images) / (time.perf_counter() - start)


def main() -> None:
    keep_freed_memory()
    backbone = packaged_dinov2()
    scenes = Mosaic(split="train", n=N_IMAGES)
    arrays = [scenes[i].image for i in range(N_IMAGES)]
    inputs = backbone.preprocess.normalise(torch.from_numpy(np.stack(arrays)))
    root = Path(tempfile.mkdtemp())
    (root / "train" / "thing").mkdir(parents=True)
    for i, array in enumerate(arrays):
        Image.fromarray(array).resize((256, 256)).save(root / f"train/thing/{i:04}.jpg", quality=90)
    folder = ImageFolder(root=str(root), split="train")
    n_blocks = backbone.layer_index(-2) + 1
    rates: dict[str, list[float]] = {"bare": [], "decoded": [], "with_decoding": [], "decoding": []}
    for _ in range(REPEATS + 1):  # the first round warms up
        rates["bare"].append(bare(packaged_dinov2().model, n_blocks, inputs))
        rates["decoded"].append(ours(backbone, Decoded(arrays)))
        rates["with_decoding"].append(ours(backbone, folder))
        start = time.perf_counter()
        for i in range(N_IMAGES):
            backbone.preprocess.crop(folder[i].image)
        rates["decoding"].append(N_IMAGES / (time.perf_counter() - start))
    shutil.rmtree(root)
    medians = {key: statistics.median(values[1:]) for key, values in rates.items()}
    print(
        json.dumps(
            {
                "benchmark": "extraction",
                "threads": torch.get_num_threads(),
                "precision": "bf16" if MACHINE.bf16 else "fp32",
                "images_per_s": {key: round(rate, 1) for key, rate in medians.items()},
                "decoded_over_bare": round(medians["decoded"] / medians["bare"], 3),
                "with_decoding_over_bare": round(medians["with_decoding"] / medians["bare"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
