"""Tiny studies with a conf/ of their own, finished as far as notebooks ask."""

import json
import shutil
from contextlib import chdir
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tests.mixed import flat
from tests.pipeline.study import QUICK, ROOT, SAE

CELL, UNLABELLED = "mosaic-tiny-L4-topk", "folder-tiny-L4-topk"
TINY = {"_target_": "saev.backbones.timm_vit", "name": "tiny", "model": "test_vit"}
TINY |= {"pretrained": False, "img_size": 64}
STAGES = {
    "extract": ["layers=[4]"],
    "head": [],
    "train": [*SAE, *QUICK],
    "floors": [*QUICK, "floors=[random]"],
    "features": [],
    "probe": ["probe.sparse_units=300"],
}
WITHOUT_LABELS = ("extract", "head", "train", "features")


def begin(cwd: Path, data: str) -> None:
    """The conf/ of a study with one cell."""
    shutil.copytree(ROOT / "conf", cwd / "conf")
    (cwd / "conf/backbone/tiny.yaml").write_text(json.dumps(TINY))
    grid = {"data": [data], "backbones": ["tiny"], "layers": [4], "saes": ["topk"]}
    (cwd / "conf/study.yaml").write_text(json.dumps({"study": grid | {"trainer": "quick"}}))


def finish(cwd: Path, data: str, stages: tuple[str, ...]) -> Path:
    """Run these stages within this process."""
    with chdir(cwd), initialize_config_dir(str(cwd / "conf"), version_base="1.3"):
        for stage in stages:
            layer = [] if stage in ("extract", "head") else ["layer=4"]
            chosen = [f"data={data}", "backbone=tiny", *layer, *STAGES[stage]]
            import_module(f"pipeline.{stage}").main(compose(stage, chosen))
    return cwd


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a study of scenes."""
    cwd = tmp_path_factory.mktemp("finished")
    begin(cwd, "mosaic")
    mosaic = (cwd / "conf/data/mosaic.yaml").read_text()
    small = mosaic.replace("size: 224", "size: 64").replace("512", "48").replace("192", "12")
    (cwd / "conf/data/mosaic.yaml").write_text(small)
    return finish(cwd, "mosaic", tuple(STAGES))


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory) -> Path:
    """Of images of every shape and mode, of which nobody has said anything."""
    cwd = tmp_path_factory.mktemp("unlabelled")
    begin(cwd, "folder")
    images = flat(cwd / "images", {"train": 16, "val": 4}, scale=0.6)
    folder = cwd / "conf/data/folder.yaml"
    folder.write_text(folder.read_text().replace("root: data/images", f"root: {images}"))
    return finish(cwd, "folder", WITHOUT_LABELS)
