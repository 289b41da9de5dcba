"""What a user does wrong ends in one line, exit code 1, and nothing half-written."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from tests.pipeline.study import LAYER, TINY, disk, run

SMALL_SAE = ["sae.d_sae=64", "sae.k=4", "sae.prefixes=[]", "trainer.steps=5", "trainer.batch_size=64"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A directory in which extract, head and train have run."""
    cwd = tmp_path_factory.mktemp("study")
    for stage, overrides in (
        ("extract", [*TINY, "layers=[4]"]),
        ("head", TINY),
        ("train", [*TINY, *LAYER, *SMALL_SAE]),
    ):
        result = run(cwd, stage, *overrides)
        assert result.returncode == 0, result.stderr
    return cwd


def fails(cwd: Path, stage: str, *overrides: str, **options) -> str:
    """Run, expecting failure; return the one line."""
    before = outputs(cwd)
    result = run(cwd, stage, *overrides, **options)
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1 and len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    assert outputs(cwd) == before  # nothing written, nothing lost
    assert not list(cwd.glob("data/**/*.partial")) and not list(cwd.glob("results/**/*.partial"))
    return lines[0]


def outputs(cwd: Path) -> dict[str, int]:
    return {
        str(p): p.stat().st_mtime_ns
        for top in ("data", "results")
        for p in (cwd / top).rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sae=[topk,relu]"], "sae must be one file of conf/sae, such as batchtopk, .*; got .'topk', 'relu'"),
        (["sae=nonsense"], "Could not find 'sae/nonsense'.*Available options.*relu.*topk"),
        (["sae.k=0"], r"sae.k must be an integer in \[1, .*\], got 0"),
        (["sae.k=abc"], "sae.k must be an integer .*, got 'abc'"),
        (["sae.kk=3"], "sae.kk is no option; there are _target_, name, d_sae, k, prefixes, lr"),
        (["sae=relu", "sae.k=3"], "sae.k is no option; there are .*l1_warmup"),
        (["trainer.steps=-1"], "trainer.steps must be an integer in \\[1, 1000000000\\], got -1"),
        (["together=relu"], "together must be a list of files of conf/sae, or study, got 'relu'"),
        (["+trainer.nope=1"], "trainer.nope is no option; there are steps, batch_size"),
        (["seed=null"], r"seed must be an integer in \[0, 4294967295\], got None"),
        (
            ["sae=pca", "sae.d_sae=7"],
            "sae.d_sae must be even and at most twice the width of the activations, 128; got 7",
        ),
        (["machine.accelerator=gpu"], "machine.accelerator is gpu, but torch finds no CUDA device here"),
        (["machine.parallel=tokens"], "machine.parallel must be one of batch, latents, got 'tokens'"),
        (
            ["+sae.optimizer=muon", "machine.parallel=latents"],
            "sae.optimizer must be adam where machine.parallel is latents",
        ),
        (["layer=12"], r"layer 12 is not recorded; it holds \[4\]"),
    ],
)
def test_wrong_options(study, overrides, message):
    import re

    assert re.search(message, fails(study, "train", *TINY, *LAYER, *overrides))


def test_layer_out_of_range_at_extraction(tmp_path):
    line = fails(tmp_path, "extract", *TINY, "layers=[6]")
    assert "layer must be an integer in [-6, 5] for timm/test_vit, got 6" in line


def test_truncated_image(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(3):
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    broken = tmp_path / "images" / "train" / "b" / "1.png"
    broken.write_bytes(broken.read_bytes()[:300])
    overrides = [
        "data=folder",
        "data.root=images",
        "layers=[4]",
        *(o for o in TINY if not o.startswith("data.")),
    ]
    assert "images/train/b/1.png: cannot be decoded" in fails(tmp_path, "extract", *overrides)

    result = run(tmp_path, "extract", *overrides, "extract.corrupt=missing")
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "results/extract/folder-timm/metrics.json").read_text())
    assert (metrics["train"]["images"], metrics["train"]["missing"], metrics["val"]["missing"]) == (6, 1, 0)
    result = run(tmp_path, "inspect_store", "store=data/acts/folder-timm/train")
    assert result.returncode == 0 and "of which missing 1: images/train/b/1.png" in " ".join(
        result.stdout.split()
    )
    damaged = tmp_path / "data/acts/folder-timm/train/acts/4/c/0/0/0"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert "data/acts/folder-timm/train: not whole" in fails(
        tmp_path, "inspect_store", "store=data/acts/folder-timm/train"
    )


@pytest.mark.parametrize(
    ("stage", "override", "message"),
    [
        ("extract", "layers=3", "layers must be a list, got 3"),
        ("extract", "layer=4", "layer is no option of extract, which serves all layers .*, got 4"),
        ("head", "layer=4", "layer is no option of head, which serves all layers .*, got 4"),
        ("extract", "machine.workers=-1", "machine.workers must be an integer in \\[0, 1024\\], got -1"),
        (
            "extract",
            "machine.devices=foo",
            "machine.devices must be an integer in \\[1, 100000\\] or auto, got 'foo'",
        ),
        ("inspect_store", "store=.", "no activation store there"),
    ],
)
def test_wrong_settings(tmp_path, stage, override, message):
    assert re.search(message, fails(tmp_path, stage, *(TINY if stage == "extract" else []), override))


def test_incomplete_store(study, tmp_path):
    cwd = tmp_path / "copy"
    shutil.copytree(study, cwd)
    group = zarr.open_group(str(cwd / "data/acts/mosaic-timm/train"), mode="r+")
    del group.attrs["complete"]
    assert "data/acts/mosaic-timm/train: store is incomplete" in fails(cwd, "train", *TINY, *LAYER)


def test_checkpoint_of_another_width(study, tmp_path):
    cwd = tmp_path / "copy"
    shutil.copytree(study, cwd)
    import torch

    from saev.sae import SAE, TopK, save_sae

    save_sae(SAE(TopK(d_sae=64, k=4), torch.zeros(99), 1.0), cwd / "data/sae/mosaic-timm-L4-topk")
    assert "activations have width 64, data/sae/mosaic-timm-L4-topk was trained on width 99" in fails(
        cwd, "features", *TINY, *LAYER
    )


def test_stages_in_the_wrong_order(tmp_path):
    assert "no activation store there" in fails(tmp_path, "train", *TINY, *LAYER)
    assert "no SAE checkpoint" in fails(tmp_path, "features", *TINY, *LAYER)


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a file system of 100 kB."""
    with disk(tmp_path / "disk", "100k") as path:
        yield path


def test_full_disk(small_disk):
    assert "No space left on device" in fails(small_disk, "extract", *TINY, "layers=[4]")


def test_unwritable_output(study, tmp_path):
    """An output path that is a file where a directory must be; permissions would not stop root."""
    cwd = tmp_path / "copy"
    shutil.copytree(study, cwd)
    (cwd / "data" / "codes").write_text("in the way")
    line = fails(cwd, "features", *TINY, *LAYER)
    assert "data/codes" in line and ("Not a directory" in line or "File exists" in line)


def test_a_configuration_names_no_code_but_ours(study, tmp_path):
    """A shared configuration may not run what it likes."""
    (tmp_path / "theirs" / "sae").mkdir(parents=True)
    (tmp_path / "theirs" / "sae" / "nice.yaml").write_text("_target_: pandas.read_pickle\nname: nice\n")
    line = fails(study, "train", f"--config-dir={tmp_path}/theirs", *TINY, *LAYER, "sae=nice")
    assert "sae._target_ must be an architecture in saev.sae, got 'pandas.read_pickle'" in line


def test_a_file_that_names_itself_otherwise(study, tmp_path):
    (tmp_path / "theirs" / "sae").mkdir(parents=True)
    file = tmp_path / "theirs" / "sae" / "mine.yaml"
    file.write_text("_target_: saev.sae.TopK\nname: topk\nd_sae: 8\n")
    line = fails(study, "train", f"--config-dir={tmp_path}/theirs", *TINY, *LAYER, "sae=mine")
    assert "conf/sae/mine.yaml: name must be mine" in line


def test_another_backbone_does_not_continue_a_store(study):
    """Of equal shape, with other weights: the numbers would be those of a model that nobody asked about."""
    line = fails(study, "head", *TINY, "backbone.model=test_vit2")
    assert line.startswith("error: the backbone") and "'timm/test_vit2'" in line and "'timm/test_vit'" in line


def test_codes_of_another_sae(study, tmp_path):
    cwd = tmp_path / "copy"
    shutil.copytree(study, cwd)
    for options in (SMALL_SAE, [*SMALL_SAE, "seed=1"]):
        assert run(cwd, "train", *TINY, *LAYER, *options).returncode == 0
        if options is SMALL_SAE:
            assert run(cwd, "features", *TINY, *LAYER).returncode == 0
    assert "run the features stage again" in fails(cwd, "probe", *TINY, *LAYER)
