"""The plan of a study, from its configuration alone, against the study that was then made."""

from contextlib import chdir
from itertools import product

import pytest
import yaml

from pipeline.cell import grid
from pipeline.overlay import put
from pipeline.plan import cells_options, folder_of, table
from pipeline.planned import Sizes, planned
from saev.errors import SaevError
from saev.planning import Rates
from tests.pipeline.study import ROOT, run

RATES = Rates(name="a machine", vit=1e12, product=2e12, memory=1e10, images=500, disk=1e9, start=6)
TOLD = yaml.safe_load((ROOT / "conf/plan.yaml").read_text())


def plans(conf) -> list:
    study, sizes = grid(conf), Sizes(TOLD)
    cells = list(product(*(study[key] for key in ("data", "backbones", "layers", "saes"))))
    return [planned(cells_options(conf, study, cell), sizes, cell, first=cell == cells[0]) for cell in cells]


def test_the_embedded_study_by_hand():
    first, *others = plans(ROOT / "conf")
    assert first.of == ("mosaic", "dinov2_packaged", 4, "topk") and first.images == 704
    assert first.tokens == 704 * 256 and len(others) == 3
    block = 24 * 257 * 384**2 + 4 * 257**2 * 384
    assert first.stages["extract"].work.vit == 704 * 11 * block  # to layer 10, for both layers at once
    assert first.stages["train"].work.product == 320 * 2048 * 2 * 384 * 2048
    assert first.stages["floors"].work.product == 5 * first.stages["train"].work.product
    # No floors of random weights, which are one themselves.
    assert others[1].of[1] == "dinov2_untrained" and not others[1].stages["floors"].work.product
    # 704 images of 257 fp16 vectors with a norm each, at two layers, and their labels.
    assert first.stages["extract"].n_bytes == 704 * (2 * 257 * (384 * 2 + 4) + 2 * 257)


def test_a_published_study_without_its_images():
    with folder_of("ade20k_control") as conf:
        put(conf / "backbone/dinov2_vitb14_reg.yaml", {"model": "test_vit", "img_size": 64})
        (plan,) = plans(conf)
    assert plan.images == 22210 and plan.tokens == 22210 * 16
    assert not plan.stages["train"].work.product  # it is taken as it is
    assert plan.stages["floors"].n_bytes == 4 * plan.stages["train"].n_bytes
    shown = table("ade20k_control", [plan], RATES)
    assert shown.row_count == 14 and "22,210 images" in shown.title and "a machine" in shown.caption


def test_images_that_nobody_counted(tmp_path):
    with folder_of("inat_bioclip") as conf, chdir(tmp_path):
        options = cells_options(conf, grid(conf), ("inat2021", "bioclip", -2, "relu"))
        with pytest.raises(
            SaevError, match=r"inat2021.*: .*; say \+images\.inat2021\.train=<n> to plan without"
        ):
            planned(options, Sizes(TOLD | {"images": {}}), (), first=True)


def test_the_command(tmp_path):
    file = tmp_path / "there.yaml"
    file.write_text(yaml.safe_dump({**vars(RATES)}))
    told = run(tmp_path, "plan", f"hardware={file}")
    assert told.returncode == 0 and "704 images" in told.stdout and "extract" in told.stdout
    refused = run(tmp_path, "plan", "study=nonsense", f"hardware={file}")
    assert refused.returncode == 1 and "error: study must be one of ade20k_control" in refused.stderr
