"""The studies of conf/studies: each composes, and runs from end to end on little data of its layout."""

import json
from collections.abc import Iterator
from contextlib import chdir
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from dvc.repo import Repo
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from pipeline import new_study
from pipeline.cell import Cell
from pipeline.floors import has_learnt
from pipeline.keys import check_configuration
from pipeline.overlay import put
from saev.errors import SaevError
from saev.features import load_profile
from saev.sae import load_sae
from tests import mixed
from tests.pipeline.study import ROOT
from tests.pipeline.test_dvc import composed, covered
from tests.pipeline.test_semprobe import semprobe
from tests.sae.foreign import saved

STUDIES = sorted(folder.name for folder in new_study.STUDIES.iterdir())
OF_CELL = ("train", "floors", "features", "evaluate", "probe", "contrast", "causes", "counterfactual")
"""Stages of a cell, in order; then these."""
OF_EDITS = ("intervene", "hypotheses", "summary")
D_SAE = 240


def configured(folder: Path, name: str, **more: str) -> dict:
    """A study's configuration in a folder; its grid."""
    folder.mkdir(exist_ok=True)
    new_study.configure(folder / "conf", {"study": name, **more})
    (folder / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    return yaml.safe_load((folder / "conf/study.yaml").read_text())["study"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_stage_composes_what_dvc_knows_of(name, tmp_path):
    """Each choice of each group once, where it is a choice of its own."""
    configured(tmp_path, name)
    Repo.init(str(tmp_path), no_scm=True).close()
    seen: set[tuple] = set()
    with Repo(str(tmp_path)) as repo:
        for stage in repo.index.stages:
            command = stage.cmd.split()
            module = command[2].removeprefix("pipeline.")
            asked = {(module, word) for word in command[3:] if module == "train"} | {(module, "")}
            if module == "facts" or asked <= seen:
                continue
            seen |= asked
            config_name, cfg = composed(stage, tmp_path)
            cfg = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
            check_configuration(cfg, config_name)
            covered(stage, tmp_path)
            if "backbone" in cfg:
                Cell(cfg)


def images(root: Path, n: dict[str, int], classes: int = 4) -> Path:
    """What `save_to_disk` leaves: pictures of any size, shape and colour mode, with their classes."""
    import datasets

    rng = np.random.default_rng(0)
    names = [f"n{c:08d}" for c in range(classes)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})

    def picture(i: int) -> Image.Image:
        pixels = mixed.texture(rng, i % classes, *mixed.sides(rng, 0.6))
        return Image.fromarray(pixels).convert(("RGB", "L", "RGBA", "P")[i % 3])

    splits = {
        split: datasets.Dataset.from_dict(
            {"image": [picture(i) for i in range(m)], "label": [i % classes for i in range(m)]},
            features=features,
        )
        for split, m in n.items()
    }
    datasets.DatasetDict(splits).save_to_disk(root)
    return root


def birds(root: Path, n: int = 12, classes: int = 3) -> Path:
    """CUB_200_2011 as it unpacks, with two attributes."""
    rng = np.random.default_rng(0)
    files = [(f"{i % classes + 1:03d}.Bird_{i % classes}/b{i}.jpg", i % classes) for i in range(n * classes)]
    for i, (file, c) in enumerate(files):
        mode = "L" if i % 7 == 3 else "RGB"
        mixed.save(
            mixed.texture(rng, c, *mixed.sides(rng, 0.6)), (root / "images" / file).with_suffix(""), mode
        )
    lists = {
        "images": [f"{i} {file}" for i, (file, _) in enumerate(files, 1)],
        "classes": [f"{c + 1} {c + 1:03d}.Bird_{c}" for c in range(classes)],
        "image_class_labels": [f"{i} {c + 1}" for i, (_, c) in enumerate(files, 1)],
        "train_test_split": [f"{i} {int(i % 5 > 1)}" for i in range(1, len(files) + 1)],
        "attributes/attributes": ["1 has_wing_color::blue", "2 has_bill_shape::curved"],
        "attributes/image_attribute_labels": [
            f"{i} {a} {int((c + a) % 3 == 0)} {3 + i % 2} 1.0"
            for i, (_, c) in enumerate(files, 1)
            for a in (1, 2)
        ],
    }
    for name, lines in lists.items():
        (root / f"{name}.txt").parent.mkdir(exist_ok=True)
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


DATA = {
    "imagenet1k": lambda root: images(root, {"train": 24, "validation": 12}),
    "inat2021": lambda root: mixed.class_folders(root, {"train": 4, "val": 2}, n_classes=6, scale=0.6),
    "ade20k": lambda root: mixed.ade20k(root, {"training": 24, "validation": 14}, n_classes=8, scale=0.6),
    "cub": birds,
    "semprobe": semprobe,
}
"""Little data in the layout of each set."""


def dictionary(d: int) -> dict[str, torch.Tensor]:
    """Weights of an SAE some of whose latents fire on less than 1 % of the tokens, others on many."""
    generator = torch.Generator().manual_seed(d)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, d, generator=generator), dim=1)
    biases = -torch.linspace(0.5, 6, D_SAE)
    return {"W_enc": rows.T.contiguous(), "b_enc": biases, "W_dec": rows, "b_dec": torch.zeros(d)}


def published(folder: Path, kind: str, d: int) -> Path:
    """An SAE of width d in the format of somebody's public ones."""
    folder.mkdir(parents=True)
    w = dictionary(d)
    if kind == "osunlp":
        (folder / "sae.pt").write_bytes(json.dumps({"d_vit": d}).encode() + b"\n" + saved(w))
    else:
        config = {"architecture": "batchtopk", "d_model": d, "dict_size": D_SAE, "k": 8, "threshold": 0.1}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "sae.pt").write_bytes(
            saved(
                {
                    "encoder.weight": w["W_enc"].T.contiguous(),
                    "encoder.bias": w["b_enc"],
                    "decoder.weight": w["W_dec"],
                }
            )
        )
    return folder


def shrink(folder: Path, grid: dict) -> None:
    """Make a study small: models with random weights, dictionaries of a few hundred latents, few steps."""
    conf, widths = folder / "conf", {}
    for name in grid["backbones"]:
        file = conf / f"backbone/{name}.yaml"
        if "open_clip" in yaml.safe_load(file.read_text())["_target_"]:
            put(file, {"model": "study-tower", "pretrained": None, "img_size": None})
            widths[name] = 32
        else:
            put(file, {"model": "test_vit", "pretrained": False, "img_size": 64})
            widths[name] = 64
    for name in grid["saes"]:
        file = conf / f"sae/{name}.yaml"
        options = yaml.safe_load(file.read_text())
        if kind := options.get("format"):
            made = {of: published(folder / f"public/{name}-{of}", kind, d) for of, d in widths.items()}
            put(file, {"source": {of: str(place) for of, place in made.items()}})
        else:
            few = {"d_sae": 96, "k": 8, "random_prefixes": 3, "aux_k": 16}
            put(file, {key: value for key, value in few.items() if key in options})
    put(conf / f"trainer/{grid['trainer']}.yaml", {"steps": 20, "batch_size": 64})
    put(conf / "extract.yaml", {"extract": {"chunk": 8}})
    put(conf / "probe.yaml", {"probe": {"permutations": 19, "sparse": [1], "exemplars": 2, "strongest": 4}})
    put(conf / "causes.yaml", {"causes": {"latents": 1}})
    if yaml.safe_load((conf / "floors.yaml").read_text())["floors"] == "auto":  # none, of random weights
        put(conf / "floors.yaml", {"floors": ["frozen-decoder", "random", "pca"]})
    put(conf / "study.yaml", {"study": grid})


def stage(folder: Path, name: str, *choices: str) -> None:
    """Run a stage of a study within this process."""
    with chdir(folder):
        with initialize_config_dir(str(folder / "conf"), version_base="1.3"):
            cfg = compose(name, list(choices))
        import_module(f"pipeline.{name}").main(cfg)


def cells(grid: dict) -> Iterator[tuple[str, list[str]]]:
    """Name and choices of every cell."""
    for data, backbone, layer, sae in product(
        *(grid[key] for key in ("data", "backbones", "layers", "saes"))
    ):
        choices = [f"data={data}", f"backbone={backbone}", f"layer={layer}", f"sae={sae}"]
        yield f"{data}-{backbone}-L{layer}-{sae}", choices


def finished(folder: Path, name: str, **changes: list) -> dict:
    """Run a whole study, made small; its grid."""
    grid = configured(folder, name)
    (data,) = grid["data"]
    # After the fact that images= must find the key by itself.
    new_study.place_images(folder / "conf", str(DATA[data](folder / "images")))
    grid |= changes
    shrink(folder, grid)
    for backbone in grid["backbones"]:
        for of_model in ("extract", "head"):
            stage(folder, of_model, f"data={data}", f"backbone={backbone}")
    for _, choices in cells(grid):
        for of_cell in (*OF_CELL, *OF_EDITS):
            trained = [f"trainer={grid['trainer']}"] if of_cell in ("train", "floors") else []
            stage(folder, of_cell, *choices, *trained)
    for of_all in ("compare", "verdicts", "report"):
        stage(folder, of_all)
    assert (folder / "report/index.html").is_file()
    return grid


def read(folder: Path, *parts: str):
    return json.loads(folder.joinpath("results", *parts).read_text())


SMALL = {
    "dinov3_layers": {"layers": [1, 3]},
    "visaebench": {
        "backbones": ["clip_vitb16", "mae_vitb16"],
        "saes": ["batchtopk_8x_k64", "batchtopk_16x_k64"],
    },
}
"""Of a study, as much as shows that it runs."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["imagenet_dinov2", "imagenet_clip", "inat_bioclip", "dinov3_layers"])
def test_what_is_trained(name, tmp_path, towers):
    grid = finished(tmp_path, name, **SMALL.get(name, {}))
    asked = yaml.safe_load((tmp_path / f"conf/sae/{grid['saes'][0]}.yaml").read_text())
    for cell, _ in cells(grid):
        architecture = load_sae(tmp_path / "data/sae" / cell).architecture
        for key in asked.keys() & {"l1", "l1_warmup", "lr", "d_sae", "k", "random_prefixes", "data_init"}:
            assert getattr(architecture, key) == asked[key]
        assert read(tmp_path, "train", cell, "curve.json")[-1]["step"] == 19
        floors = json.loads((tmp_path / f"data/floors/{cell}/floors.json").read_text())["floors"]
        assert floors == ["frozen-decoder", "random", "pca"]


@pytest.mark.slow
def test_segmentation_under_edits(tmp_path):
    (cell, _), *_ = cells(finished(tmp_path, "ade20k_control"))
    outcome = read(tmp_path, "intervene", cell, "outcome.json")
    assert outcome["strength"] == -2
    methods = {(point["method"], point["place"]) for point in outcome["points"]}
    assert {
        (of, where) for of in ("random latent", "random direction") for where in ("class", "all")
    } < methods
    # Only latents of less than 1 % were to be chosen.
    profile = load_profile(
        tmp_path / "data/codes" / cell / "latents.safetensors", load_sae(tmp_path / "data/sae" / cell)
    )
    rows = read(tmp_path, "probe", cell, "classes.json")
    densities = [profile.row(row["latent"])["density"] for row in rows]
    assert rows and max(densities) <= 0.01
    floors = json.loads((tmp_path / f"data/floors/{cell}/floors.json").read_text())["floors"]
    assert floors == ["random", "neurons", "pca", "kmeans"]


@pytest.mark.slow
def test_classification_under_edits(tmp_path, towers):
    (cell, _), *_ = cells(finished(tmp_path, "cub_control"))
    assert read(tmp_path, "head", "cub-clip_vitb16", "metrics.json")["readout"] == "cls"
    outcome = read(tmp_path, "intervene", cell, "outcome.json")
    assert {point["strength"] for point in outcome["points"]} == {0.0, -2.0, -10.0}
    assert read(tmp_path, "probe", cell, "described.json")["units"] == "images"


@pytest.mark.slow
def test_concepts_by_example_of_two_models(tmp_path, towers):
    grid = finished(tmp_path, "semprobe")
    for cell, _ in cells(grid):
        assert [row["name"] for row in read(tmp_path, "probe", cell, "concepts.json")] == ["red", "thursday"]
    assert (tmp_path / "results/compare").is_dir()


@pytest.mark.slow
def test_public_ones_of_a_benchmark(tmp_path, towers):
    grid = finished(tmp_path, "visaebench", **SMALL["visaebench"])
    assert len(list(cells(grid))) == 4
    for cell, _ in cells(grid):
        sae = load_sae(tmp_path / "data/sae" / cell)
        assert type(sae.architecture).__name__ == "BatchTopK" and sae.d_sae == D_SAE
        assert read(tmp_path, "train", cell, "curve.json") == []
        assert read(tmp_path, f"{cell}.json")["nmse"] > 0


def test_a_study_is_made_by_its_command(tmp_path, capsys):
    new_study.main([str(tmp_path / "mine"), "study=ade20k_control", f"images={tmp_path}"])
    made = yaml.safe_load((tmp_path / "mine/conf/data/ade20k.yaml").read_text())
    assert made["root"] == str(tmp_path) and made["splits"]["val"] == {"split": "validation"}
    text = (tmp_path / "mine/conf/intervene.yaml").read_text()
    # What a study does not say is the repository's, comments and all; what it says bears its own comment.
    assert "listed: {}  " in text and "code" in (tmp_path / "mine/conf/probe.yaml").read_text()
    assert yaml.safe_load(text)["intervene"]["strengths"] == [-2.0]
    assert not (tmp_path / "mine/conf/studies").exists() and "look at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "study=nonsense"], "study must be one of ade20k_control, .*, visaebench, got 'nonsense'"),
        (["a", "stduy=semprobe"], "stduy is no option; there are study, images"),
        (
            ["a", "images=there"],
            "images= is for a study of one data set that has a root or path, not of mosaic",
        ),
    ],
)
def test_what_no_study_can_be_made_of_is_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaevError, match=message):
        new_study.main(words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("backbone", "learnt"),
    [
        ({"model": "hf-hub:imageomics/bioclip", "pretrained": None}, True),  # whose weights come with it
        ({"model": "ViT-B-16", "pretrained": None}, False),
        ({"model": "test_vit", "pretrained": False, "checkpoint": None}, False),
        ({"model": "test_vit", "pretrained": False, "checkpoint": "w.safetensors"}, True),
        ({"model": "ViT-B-16", "pretrained": "openai"}, True),
        ({"img_size": 224}, True),
    ],
)
def test_which_backbones_have_floors(backbone, learnt):
    assert has_learnt(OmegaConf.create(backbone)) == learnt
