"""All stages on images as people have them: many sizes, shapes and colour modes; sorted by class; a dominant
background; classes that a split lacks; names that break things; one class; no labels at all."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests import mixed
from tests.pipeline.study import LAYER, OF_ALL, QUICK, SAE, STAGES, VIT, here, write_grid


def whole(
    cwd: Path, data: str, *overrides: str, task: tuple[str, ...] = (), vit: tuple[str, ...] = tuple(VIT)
) -> Path:
    """Run every stage on one data set; `task` changes what the model is asked, `vit` the model."""
    common = [f"data={data}", *vit, *overrides]
    write_grid(cwd, data=[data], backbones=[vit[0].partition("=")[2]])
    here(cwd, "extract", *common, "layers=[4]", "extract.chunk=8")
    here(cwd, "head", *common, *task)
    for stage, options in {
        "train": [*SAE, *QUICK],
        "floors": [*QUICK],
        "features": [],
        "evaluate": [],
        "probe": ["probe.exemplars=3", *task],
        "contrast": [],
        "causes": ["causes.latents=1"],
        "counterfactual": [],
        "intervene": ["intervene.images=20", "intervene.strengths=[0,-2]"],
        "hypotheses": [],
        "summary": [],
        "atlas": ["atlas.permutations=19"],
    }.items():
        here(cwd, stage, *common, *LAYER, *options)
    for stage in OF_ALL:
        here(cwd, stage)
    return cwd


def read(cwd: Path, stage: str, name: str):
    (file,) = cwd.glob(f"results/{stage}/*/{name}.json")
    return json.loads(file.read_text())


def pictures(cwd: Path) -> list[np.ndarray | ElementTree.ElementTree]:
    """Every picture of the report, photographs and drawings, opened whole."""
    photographs = [np.asarray(Image.open(file)) for file in sorted(cwd.glob("report/**/*.png"))]
    return photographs + [ElementTree.parse(file) for file in sorted(cwd.glob("report/**/*.svg"))]


def test_masks_of_many_classes_over_a_dominant_background(tmp_path):
    root = mixed.ade20k(tmp_path / "set", {"training": 40, "validation": 30}, scale=0.6)
    whole(tmp_path, "ade20k", f"data.root={root}", task=("task.ignore=[background]",))
    head = read(tmp_path, "head", "metrics")
    assert head["readout"] == "patches" and head["classes"] > 10
    rows = read(tmp_path, "probe", "classes")
    assert "background" not in {row["name"] for row in rows} and len(rows) > 10
    assert mixed.class_names(28)[-1] not in {row["name"] for row in rows}  # validation lacks it
    counts = read(tmp_path, "extract", "classes")
    assert sum(counts["val"].values()) <= 30 and counts["train"]["日本語"] >= 1
    outcome = read(tmp_path, "intervene", "outcome")
    measured = {row["class"] for row in outcome["classes"] if row["target"] is not None}
    # Sorted by class, the first 20 images would show about two thirds of them.
    assert len(measured) > 0.8 * len(rows)
    assert all(row["target"] is None for row in outcome["classes"] if row["images"] == 0)
    page = (tmp_path / "report/index.html").read_text()
    assert "&lt;b&gt;bold&lt;/b&gt;" in page and "<b>bold</b>" not in page
    assert len(pictures(tmp_path)) > 6


def test_class_folders_of_every_colour_mode(tmp_path):
    root = mixed.class_folders(tmp_path / "set", {"train": 3, "val": 2}, scale=0.6)
    whole(tmp_path, "folder", f"data.root={root}")
    assert read(tmp_path, "extract", "metrics")["val"]["labelled"] == "images"
    assert read(tmp_path, "head", "metrics")["readout"] == "cls"
    probe, rows = read(tmp_path, "probe", "metrics"), read(tmp_path, "probe", "classes")
    assert probe["units"] == "images" and len(rows) == 25  # one class has no validation image
    assert all(row["units"] == row["images"] == 2 for row in rows)
    outcome = read(tmp_path, "intervene", "outcome")
    assert outcome["images"] == 20 and len({row["class"] for row in outcome["classes"]}) == 25
    assert len(pictures(tmp_path)) > 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero_shot", "retrieval"])
def test_classes_told_by_words_and_by_likeness(tmp_path, towers, kind):
    """What a model with a text tower is asked without a fit, by every stage on the way to the report."""
    root = mixed.class_folders(tmp_path / "set", {"train": 6, "val": 4}, n_classes=5, scale=0.6)
    tower = ("backbone=open_clip", "backbone.model=study-tower", "backbone.pretrained=null")
    cwd = whole(tmp_path, "folder", f"data.root={root}", task=(f"task={kind}",), vit=tower)
    head, outcome = read(cwd, "head", "metrics"), read(cwd, "intervene", "outcome")
    assert head["units"] == outcome["images"] > 10 and 0 <= head["accuracy"] <= 1
    assert {point["method"] for point in outcome["points"]} > {"chosen latent"}
    assert read(cwd, "evaluate", "metrics")["fidelity"]["original"] is not None
    assert f"{head['units']} validation images" in (cwd / "report/index.html").read_text()


@pytest.mark.parametrize("labels", ["none", "one class"])
def test_images_without_labels_to_tell_apart(tmp_path, labels):
    n = {"train": 12, "val": 8}
    if labels == "none":
        root = mixed.flat(tmp_path / "set", n, scale=0.6)
    else:
        root = mixed.class_folders(tmp_path / "set", n, n_classes=1, scale=0.6)
        for path in (root / "train").rglob("*.*"):  # (the last class has no validation image)
            target = root / "val" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    whole(tmp_path, "folder", f"data.root={root}")
    head, outcome = read(tmp_path, "head", "metrics"), read(tmp_path, "intervene", "outcome")
    why = "the images have no labels" if labels == "none" else "fewer than 2 classes are labelled"
    assert head["readout"] is None and head["reason"] == why
    assert outcome["points"] == [] and outcome["reason"].startswith("no task: ")
    assert read(tmp_path, "evaluate", "metrics")["fidelity"] is None
    assert len(read(tmp_path, "probe", "latents")) == 12  # the strongest are shown instead
    assert list(tmp_path.glob("results/probe/*/exemplars-1.png"))
    assert head["reason"] in (tmp_path / "report/index.html").read_text()


def test_a_table_of_concepts_and_patients(tmp_path):
    """Unlabelled images that a table describes: concepts of images, judged by patients that chose nothing."""
    root = mixed.flat(tmp_path / "set", {"train": 24, "val": 24}, scale=0.4)
    rows = [
        f"{split}/{file.name},p{i % 12},{int(i % 9 < 3)},{'?' if i % 5 == 0 else i % 2}"
        for split in ("train", "val")
        for i, file in enumerate(sorted((root / split).iterdir()))
    ]
    (root / "told.csv").write_text("\n".join(["image,patient,warm,odd", *rows]))
    told = [f"+data.table={root}/told.csv", "+data.concepts=[warm,odd]", "+data.cluster=patient"]
    whole(tmp_path, "folder", f"data.root={root}", *told)
    found, described = read(tmp_path, "probe", "concepts"), read(tmp_path, "probe", "described")
    assert [row["name"] for row in found] == ["warm", "odd"] and described["units"] == "images"
    assert (
        found[0]["clusters"] == 12
        and found[0]["folds"] == 4
        and found[0]["units"] == 9
        and found[0]["low"] is not None
    )
    assert read(tmp_path, "probe", "classes") == []
    page = (tmp_path / "report/index.html").read_text()
    assert "cross-fitted over 12 clusters" in page


def test_dead_and_single_latents(tmp_path):
    """An SAE that has died, or has one latent, is a result to be told and no reason to stop."""
    root = mixed.class_folders(tmp_path / "set", {"train": 3, "val": 2}, n_classes=3, scale=0.6)
    for name, options in {
        "dead": ["sae=relu", "sae.l1=1e6", "sae.lr=1", "trainer.clip=1e9", "sae.d_sae=16"],
        "single": ["sae=topk", "sae.d_sae=1", "sae.k=1", "sae.prefixes=[]"],
    }.items():
        cwd = tmp_path / name
        cwd.mkdir()
        sae = options[0].removeprefix("sae=")
        write_grid(cwd, data=["folder"], saes=[sae])
        common = ["data=folder", f"data.root={root}", *VIT]
        here(cwd, "extract", *common, "layers=[4]", "extract.chunk=8")
        here(cwd, "head", *common)
        here(cwd, "train", *common, *LAYER, *options, "trainer.steps=200", "trainer.batch_size=128")
        for stage in list(STAGES)[3:]:  # all that come after training
            here(cwd, stage, *common, *LAYER, options[0])
        for stage in OF_ALL:
            here(cwd, stage)
        row = json.loads((cwd / f"results/folder-timm-L4-{sae}.json").read_text())
        assert row["dead"] == (1.0 if name == "dead" else 0.0)
        assert row["f1"] is None  # a dead one is chosen for nothing, a single one beats no null
        assert (read(cwd, "probe", "metrics")["all_f1"] is None) == (name == "dead")
