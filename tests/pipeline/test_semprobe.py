"""The stages on concepts told by images: one that anybody sees, and one that there is nothing of."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saev.activations import Store
from saev.probing import described
from saev.probing.folds import folds
from tests.data.images import encoded, write
from tests.pipeline.study import LAYER, QUICK, SAE, VIT, here

N = 20
"""Images of each side of a concept."""
KINDS = {"RGB": "JPEG", "RGBA": "PNG", "P": "PNG", "CMYK": "JPEG"}
"""Of files, by colour mode."""


def picture(rng: np.random.Generator, red: bool) -> tuple[str, bytes]:
    """Ending and bytes of an image of any size and colour mode: noise around red or another colour."""
    colour = (200, 40, 40) if red else (rng.integers(0, 120), *rng.integers(60, 220, 2))
    pixels = np.clip(rng.normal(colour, 25, (*rng.integers(40, 140, 2), 3)), 0, 255).astype(np.uint8)
    mode = rng.choice(list(KINDS))
    return KINDS[mode].lower(), encoded(Image.fromarray(pixels).convert(mode), KINDS[mode])


def semprobe(root: Path) -> Path:
    """`red`, and `thursday`, each image of which lies in both folders."""
    rng = np.random.default_rng(0)
    for i in range(N):
        for side in ("positive", "negative"):
            ending, content = picture(rng, side == "positive")
            write(root / f"red-{side}/{i}.{ending}", content)
        ending, content = picture(rng, i % 2 == 0)
        for side in ("positive", "negative"):
            write(root / f"thursday-{side}/{i}.{ending}", content)
    return root


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("semprobe")
    common = ["data=semprobe", f"data.root={semprobe(cwd / 'set')}", *VIT]
    here(cwd, "extract", *common, "layers=[4]", "extract.chunk=16")
    for stage, options in {
        "train": [*SAE, *QUICK],
        "floors": [*QUICK, "floors=[random]"],
        "features": [],
        "probe": ["probe.exemplars=2"],
    }.items():
        here(cwd, stage, *common, *LAYER, *options)
    return cwd


def read(cwd: Path, name: str):
    (file,) = cwd.glob(f"results/probe/*/{name}.json")
    return json.loads(file.read_text())


def test_what_anybody_sees_is_claimed_and_what_nobody_sees_is_not(study):
    red, thursday = read(study, "concepts")
    assert (red["name"], thursday["name"]) == ("red", "thursday")
    assert red["q"] <= 0.05 and red["f1"] > 0.8
    assert thursday["q"] > 0.05
    described = read(study, "described")
    assert (described["units"], described["claimed"], described["concepts"]) == ("images", 1, 2)
    (floor,) = (row for row in read(study, "floors") if row["of"] == "concepts")
    assert floor["floor"] == "random" and floor["f1_of"].keys() == {"red", "thursday"}


def test_no_image_is_judged_by_what_it_chose(study):
    assert [(row["folds"], row["clusters"]) for row in read(study, "concepts")] == 2 * [(4, 2 * N)]
    train, val = (described(Store(study / "data/acts/semprobe-timm" / split)) for split in ("train", "val"))
    assert train.clusters == val.clusters and len(train.clusters) == 4 * N
    parts = folds(train, val)
    np.testing.assert_array_equal(parts.train_u, parts.val_u)  # and part f is chosen by the others
