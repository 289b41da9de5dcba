"""conf/backbone: every file, and every name that its comments recommend, is a model that can be built."""

import re
from pathlib import Path

import pytest
import torch
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf

from saev.backbones import open_clip_vit, packaged_dinov2, timm_vit
from saev.backbones.from_timm import timm_preprocess

FILES = {file.stem: file for file in sorted((Path(__file__).parents[2] / "conf" / "backbone").glob("*.yaml"))}


def comments(file: Path) -> list[str]:
    return [line[1:] for line in file.read_text().splitlines() if line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_configured_models_and_weights_exist(name):
    import open_clip
    import timm

    options = OmegaConf.to_container(OmegaConf.load(FILES[name]))
    assert options.pop("name") == name
    build, model = get_method(options.pop("_target_")), options.get("model")
    assert set(options) <= set(build.__kwdefaults__ or {}) | {"model"}
    if build is timm_vit:
        assert model in timm.list_pretrained()
        with torch.device("meta"):  # shapes without weights
            vit = timm.create_model(model, img_size=options["img_size"])
        preprocess = timm_preprocess(vit, name)
        assert preprocess.size == (options["img_size"] or 256,) * 2 and preprocess.crop_share == 1
    elif build is open_clip_vit:
        assert model.startswith("hf-hub:") or (model, options["pretrained"]) in open_clip.list_pretrained()
    else:
        assert build is packaged_dinov2


@pytest.mark.parametrize("name", FILES)
def test_recommended_models_exist(name):
    import open_clip
    import timm

    for line in comments(FILES[name]):
        for model in re.findall(r"\b(?:vit|eva02)_\w+\.\w+", line):
            assert model in timm.list_pretrained()
        for model, pretrained in re.findall(r"^  *(ViT-\S+) +(\w+)$", line):
            assert (model, pretrained) in open_clip.list_pretrained()


def test_a_file_may_name_a_module_of_the_package():
    """As that of a further family does, which then needs no line in the package itself."""
    options = {"model": "test_vit", "pretrained": False, "img_size": 32}
    backbone = instantiate({"_target_": "saev.backbones.from_timm.timm_vit", **options})
    assert backbone.weights_hash() == timm_vit(**options).weights_hash()
