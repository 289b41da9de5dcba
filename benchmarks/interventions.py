"""Edits with their controls two blocks from the end, against the whole model from pixels for each of them.

python -m benchmarks.interventions [--classes 3] [--images 16]      prints one JSON line

A ViT-S/16 with random weights on scenes of the embedded data, a TopK SAE of 2,048 latents, and the arms of
conf/intervene.yaml but for its frozen twin. `naive` is what a paper's script does: for every edit and control
all blocks from pixels, with a hook that encodes, edits, and decodes twice. `ours` is `run_experiment`, which
counts what changed too. Class by class in turn, so that both meet the same load of the machine.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import scipy.sparse
import torch
import yaml
from torch import Tensor

from benchmarks.train_step import where
from saev.activations import Recording, Store, record
from saev.backbones import Backbone, timm_vit
from saev.data import Mosaic
from saev.features import Codes
from saev.intervention import Arm, Setup, run_experiment, trials
from saev.intervention.controls import random_direction, similar_latents
from saev.intervention.trial import Trial
from saev.machine import Machine
from saev.machine.allocator import keep_freed_memory
from saev.sae import SAE, TopK
from saev.tasks import Continuation, Task

LAYER, D_SAE, BATCH = 9, 2048, 8
LEFT_OUT = ("difference of means", "frozen-decoder latent")
"""Controls that need a probe or another SAE; one more random direction costs what they do."""


def setup_of(backbone: Backbone, store: Store, machine: Machine) -> Setup:
    tokens = store.tokens(LAYER, ("patch",))
    mean, scale = tokens.normalisation()
    torch.manual_seed(0)
    sae = SAE(TopK(d_sae=D_SAE, k=32), torch.from_numpy(mean), scale).requires_grad_(False)
    linear = torch.randn(len(store.classes), backbone.d), torch.zeros(len(store.classes))
    origin = store.origin(LAYER, ("patch",))
    task = Task(linear, classes=store.classes, readout="patches", origin=origin)
    model = Continuation.from_store(backbone, task, store, LAYER, np.arange(store.n_images), machine)
    f_us = sae.encode(model.x_btd[:, torch.from_numpy(tokens.positions)].flatten(0, 1)).numpy()
    codes = Codes(scipy.sparse.csr_array(f_us), tokens.n_images, tokens.origin, sae.digest())
    return Setup(sae, model, tokens, codes, codes)


def arms_of(images: int) -> list[Arm]:
    experiment = yaml.safe_load(Path("conf/intervene.yaml").read_text())["intervene"]
    usual = {"images": images, "strengths": experiment["strengths"]}
    rows = [row for row in experiment["arms"] if row.get("control") not in LEFT_OUT]
    return [Arm(**{**usual, **row}) for row in rows]


def naive(trial: Trial, arm: Arm, strength: float, pixels_bhwc: Tensor) -> Tensor:
    """(b, u, c) logits of the whole model under one edit."""
    setup = trial.setup
    sae, model, latents = setup.sae, setup.model, list(trial.latents)
    if arm.control == "random latent":
        (latents,) = map(list, similar_latents(latents, setup.train, trial.seed, avoid=trial.avoid))
    maximum_k = torch.from_numpy(setup.train.maximum[latents])
    acts_bt = setup.labels_bt == trial.target if arm.place == "class" else torch.ones_like(setup.labels_bt)
    parts, start = [], 0

    def edit(_, __, x_btd: Tensor) -> Tensor:
        patches_nd = x_btd[:, 1:].flatten(0, 1)
        f_ns = sae.encode(patches_nd)
        new_ns = f_ns.clone()
        new_ns[:, latents] = strength * maximum_k
        change_nd = sae.decode(new_ns) - sae.decode(f_ns)
        if arm.control == "random direction":
            change_nd = change_nd.norm(dim=-1, keepdim=True) * random_direction(sae.d, trial.seed)
        acts_b = acts_bt[start : start + len(x_btd)]
        return torch.cat(
            [x_btd[:, :1], x_btd[:, 1:] + change_nd.view_as(x_btd[:, 1:]) * acts_b[..., None]], 1
        )

    hook = model.backbone.blocks[LAYER].register_forward_hook(edit)
    with torch.inference_mode():
        for start in range(0, len(pixels_bhwc), BATCH):
            pixels = model.backbone.preprocess.normalise(pixels_bhwc[start : start + BATCH])
            parts.append(model.task.logits(model.backbone, model.backbone(pixels)))
    hook.remove()
    return torch.cat(parts)


def timed(call, spent: dict[str, float]) -> object:
    began, cpu = time.perf_counter(), time.process_time()
    found = call()
    spent["seconds"] += time.perf_counter() - began
    spent["cpu_seconds"] += time.process_time() - cpu
    return found


def measure(n_classes: int, n_images: int, place: Path) -> dict:
    machine = Machine(accelerator="cpu", precision="fp32", workers=0)
    scenes = Mosaic(split="val", n=n_images, size=224)
    backbone, how = timm_vit(model="vit_small_patch16_224", pretrained=False), Recording(layers=(LAYER,))
    store = record(backbone, scenes, place / "store", working=place / "w", options=how, machine=machine)
    setup, arms = setup_of(backbone, store, machine), arms_of(n_images)
    pixels = torch.from_numpy(np.stack([backbone.preprocess.crop(scene.image) for scene in scenes]))
    shown = torch.bincount(setup.truth_bu[setup.truth_bu < len(store.classes)])
    targets = [store.classes[c] for c in shown.argsort(descending=True)[:n_classes]]
    liveliest = np.argsort(-setup.train.density)
    among = trials(setup, {name: [int(liveliest[i])] for i, name in enumerate(targets)}, seed=0)
    spent = {name: {"seconds": 0.0, "cpu_seconds": 0.0} for name in ("ours", "naive")}
    setup.before_buc  # noqa: B018 (both have it to begin with)
    edits, units, unlike = 0, 0, 0
    for trial in among:
        found = timed(lambda trial=trial: list(run_experiment(setup, [trial], arms)), spent["ours"])
        for of in found:
            after = timed(
                lambda trial=trial, of=of: naive(trial, of.arm, of.strength, pixels), spent["naive"]
            )
            changed = (after.argmax(-1) != setup.before_bu) & trial.target_bu
            part, whole = of.sums["target"]
            unlike += int(abs(part - changed.sum(1).numpy()).sum())
            units, edits = units + int(whole.sum()), edits + 1
    return {
        "edits": edits,
        "images": n_images,
        "blocks_rerun": backbone.n_blocks - 1 - LAYER,
        **{name: {key: round(value, 2) for key, value in of.items()} for name, of in spent.items()},
        "naive_over_ours": {key: round(spent["naive"][key] / spent["ours"][key], 2) for key in spent["ours"]},
        "units": units,
        "counted_otherwise": unlike,
    }


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--shared", action="store_true", help="others were at work on the machine")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = measure(options.classes, options.images, Path(folder))
    found["machine"] = "shared with other work" if options.shared else "idle"
    print(json.dumps({"benchmark": "interventions", **where("cpu"), **found}))


if __name__ == "__main__":
    main()
