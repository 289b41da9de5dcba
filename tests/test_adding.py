"""Each page on how to add something, followed to the letter in a copy of the project: it takes as many files
as it says, and what it adds works, on a study of tiny scenes."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.documented import DOCS, ROOT, Block, blocks, followed, run, written

PAGES = ("data", "backbone", "sae", "task", "edit", "metric", "stage")
CELL = "mosaic-dinov2_packaged-L4-topk"
TINY = {
    "data/mosaic": {
        "size": 64,
        "splits": {"train": {"split": "train", "n": 48}, "val": {"split": "val", "n": 12}},
    },
    "backbone/dinov2_packaged": {
        **{"_target_": "saev.backbones.timm_vit", "name": "dinov2_packaged", "model": "test_vit"},
        **{"pretrained": False, "img_size": 64},
    },
    "sae/topk": {"d_sae": 96, "k": 8, "prefixes": [16]},
    "trainer/default": {"steps": 60, "batch_size": 128},
    "paths": {"layer": 4},
    "extract": {"layers": [4]},
    "floors": {"floors": ["frozen-decoder", "frozen-soft", "random", "neurons"]},
}
"""What is changed of conf/, so that the pages' commands, as they stand, take seconds."""


def project(folder: Path) -> Path:
    """A copy of all that pages may change."""
    for part in ("conf", "pipeline", "saev"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_takes_as_many_files_as_it_says(page, tmp_path):
    folder = project(tmp_path)
    files = {block.title: block for block in blocks(f"adding/{page}.md") if block.title}
    new = [title for title in files if not (folder / title).exists()]
    text = (DOCS / f"adding/{page}.md").read_text()
    (said,) = re.findall(r"^\*\*(\d) new files?, (\d) changed", text, re.M)
    assert said == (str(len(new)), str(len(files) - len(new)))
    for block in blocks(f"adding/{page}.md"):
        if block.title:
            written(block, folder)
            text = (folder / block.title).read_text()
            compile(text, block.title, "exec") if block.title.endswith(".py") else yaml.safe_load(text)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A copy with a tiny study, through all stages that pages build on."""
    folder = project(tmp_path_factory.mktemp("project"))
    for name, changes in TINY.items():
        file = folder / f"conf/{name}.yaml"
        whole = changes if "_target_" in changes else yaml.safe_load(file.read_text()) | changes
        head = "# @package _global_\n" if name == "paths" else ""
        file.write_text(head + yaml.safe_dump(whole, sort_keys=False))
    for stage in ("extract", "head", "train", "floors", "features", "probe probe.sparse=[]"):
        run(Block("sh", None, f"python -m pipeline.{stage}\n"), folder)
    return folder


def result(folder: Path, stage: str, name: str = "metrics", cell: str = CELL):
    return json.loads((folder / f"results/{stage}/{cell}/{name}.json").read_text())


def check_data(folder: Path) -> None:
    from saev.activations import Store

    store = Store(folder / "data/acts/arrays-dinov2_packaged/val")
    assert store.classes == ("dark", "light") and store.image_labels().tolist() == [0, 1, 0, 1, 0, 1]


def check_backbone(folder: Path) -> None:
    from saev.activations import Store

    store = Store(folder / "data/acts/mosaic-torchvision_vitb32/train")
    assert store.acts(5).shape == (48, 50, 768) and np.isfinite(store.acts(5)[:2]).all()


def check_sae(folder: Path) -> None:
    config = json.loads((folder / "data/sae/mosaic-dinov2_packaged-L4-square_root/config.json").read_text())
    assert config["architecture"] == "SquareRoot" and config["options"]["l_half"] == 0.5
    assert (folder / "data/codes/mosaic-dinov2_packaged-L4-square_root/val.safetensors").is_file()


def check_task(folder: Path) -> None:
    found = result(folder, "head", cell="mosaic-dinov2_packaged")
    assert found["readout"] == "largest"
    mine = json.loads((folder / "data/head/mine/config.json").read_text())
    assert mine["classes"] == ["cat", "dog"]


def check_edit(folder: Path) -> None:
    assert "mirror" in json.dumps(result(folder, "intervene", "outcome"))


def check_metric(folder: Path) -> None:
    rows = result(folder, "probe", "concepts")
    assert rows and all(np.isfinite(row["separation"]) for row in rows)


def check_stage(folder: Path) -> None:
    found = result(folder, "census")
    assert 0 <= found["nowhere"] < 96 and 0 < found["median"] <= 12


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_adds_works(page, study, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(study, folder)
    followed(f"adding/{page}.md", folder)
    globals()[f"check_{page}"](folder)
