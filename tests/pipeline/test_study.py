"""The whole study, small, as its users run it: every stage a process, every file read back."""

import json
from functools import wraps
from pathlib import Path

import pytest

from saev.data import Mosaic
from tests.pipeline.study import (
    CELL,
    LAYER,
    OF_ALL,
    QUICK,
    STAGES,
    STORE,
    TINY,
    beginnings,
    digest,
    finish,
    here,
    succeed,
    write_grid,
)

PROBED = ("metrics", "described", "classes", "concepts", "floors", "latents", "sparse")


def study(cwd: Path) -> Path:
    write_grid(cwd)
    for stage, overrides in STAGES.items():
        said = succeed(cwd, stage, *overrides)
        # One closing line, or one per split; nothing else where nobody watches.
        assert all(line.startswith(f"{stage}: ") for line in said.splitlines()), said
    for stage in OF_ALL:
        succeed(cwd, stage)
    return cwd


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return study(tmp_path_factory.mktemp("study"))


def read(path: Path):
    return json.loads(path.read_text())


def test_leaves_exactly_the_promised_files(finished):
    files = {
        p.relative_to(finished).as_posix()
        for p in finished.rglob("*")
        if p.is_file() and "data/acts" not in p.as_posix() and "conf" not in p.parts
    }
    pictures = {f for f in files if f.endswith((".png", ".svg"))}
    assert files - pictures - {f for f in files if f.startswith(("report/", "atlas/"))} == {
        *(f"results/extract/{STORE}/{name}.json" for name in ("metrics", "classes")),
        f"results/head/{STORE}/metrics.json",
        *(f"data/head/{STORE}/{name}" for name in ("head.safetensors", "config.json")),
        *(f"data/head/{STORE}/concepts/{name}" for name in ("head.safetensors", "config.json")),
        *(f"data/sae/{CELL}/{name}" for name in ("sae.safetensors", "config.json")),
        f"data/floors/{CELL}/floors.json",
        *(
            f"data/floors/{CELL}/{floor}/{name}"
            for floor in ("frozen-decoder", "seed-1", "random")
            for name in ("sae.safetensors", "config.json")
        ),
        *(f"data/codes/{CELL}/{name}.safetensors" for name in ("train", "val", "latents")),
        f"data/matches/{CELL}/matches.safetensors",
        "results/compare/compare.json",
        f"results/contrast/{CELL}/metrics.json",
        *(f"data/contrast/{CELL}/{name}" for name in ("latents.csv", "latents.parquet", "codes.h5ad")),
        *(f"results/causes/{CELL}/{name}.json" for name in ("causes", "agreement")),
        *(f"results/counterfactual/{CELL}/{name}.json" for name in ("metrics", "counterfactual")),
        f"results/hypotheses/{CELL}/evidence.json",
        *(f"results/verdicts/{name}.json" for name in ("metrics", "verdicts")),
        "results/ledger.jsonl",
        f"results/train/{CELL}/curve.json",
        *(f"results/evaluate/{CELL}/{name}.json" for name in ("metrics", "density")),
        *(f"results/probe/{CELL}/{name}.json" for name in PROBED),
        *(f"results/intervene/{CELL}/{name}.json" for name in ("metrics", "outcome")),
        f"results/{CELL}.json",
    }
    assert f"results/intervene/{CELL}/maps-1.png" in pictures and "report/index.html" in files
    assert {
        f"results/probe/{CELL}/{name}"
        for name in ("f1.svg", "concepts.svg", "exemplars-1.png", "exemplars-2.png")
    } <= pictures


def test_stages_agree_with_each_other(finished):
    scores = read(finished / f"results/evaluate/{CELL}/metrics.json")
    head = read(finished / f"results/head/{STORE}/metrics.json")
    assert scores["val"]["nmse"] < 1 and scores["val"]["l0"] <= 8
    # Fidelity asks the head's own question, here of all validation images.
    assert scores["fidelity"]["original"] == pytest.approx(head["balanced_accuracy"], abs=1e-9)
    config = read(finished / f"data/sae/{CELL}/config.json")
    assert config["origin"]["layer"] == 4 and config["origin"]["kinds"] == ["patch"]
    classes = read(finished / f"results/probe/{CELL}/classes.json")
    outcome = read(finished / f"results/intervene/{CELL}/outcome.json")
    assert {row["class"] for row in outcome["classes"]} <= {row["name"] for row in classes}
    row, scores_of = (
        read(finished / f"results/{CELL}.json"),
        read(finished / f"results/probe/{CELL}/metrics.json"),
    )
    assert row["nmse"] == pytest.approx(scores["val"]["nmse"], abs=1e-4)
    assert row["f1"] == pytest.approx(scores_of["f1"], abs=1e-3)
    page = (finished / "report/index.html").read_text()
    for image in finished.glob("report/**/*.*g"):
        assert image.relative_to(finished / "report").as_posix() in page


def test_a_second_study_gives_the_same_bytes(finished, tmp_path):
    """All of it in one process, where the first had one for every stage."""
    assert digest(finish(tmp_path), ".") == digest(finished, ".")


def test_an_sae_that_waited_has_the_bytes_of_one_trained_alone(finished, tmp_path):
    common = [*TINY, *LAYER, *QUICK]
    waiting, alone = (beginnings(finished, tmp_path / name) for name in ("waiting", "alone"))
    # Options of one SAE are its own: relu's do not reach those that are trained beside it.
    relu = ["sae=relu", "sae.d_sae=64"]
    succeed(waiting, "train", *common, *relu, "together=[topk,random]")
    assert not (waiting / "data/sae/mosaic-timm-L4-topk").exists()
    said = [succeed(waiting, "train", *common, f"sae={name}") for name in ("topk", "random")]
    for name, options in (("relu", relu), ("topk", ["sae=topk"]), ("random", ["sae=random"])):
        succeed(alone, "train", *common, *options)
        assert name == "relu" or f"train: {name} in " in "".join(said)
    assert "train: random takes no steps; trainer.batch_size, trainer.steps make no difference" in said[1]
    assert digest(waiting, "data/sae", "results/train") == digest(alone, "data/sae", "results/train")
    assert len(digest(waiting, "data/sae")) == 3 * 2
    assert not list(waiting.glob(".scratch/train/*"))


def test_a_study_trains_on_one_stream_what_is_still_to_be_trained(finished, tmp_path):
    cwd, common = beginnings(finished, tmp_path / "cwd"), [*TINY, *LAYER, *QUICK, "together=study"]
    write_grid(cwd, saes=["topk", "relu", "pca"])
    succeed(cwd, "train", *common, "sae=topk")
    (waits,) = cwd.glob(".scratch/train/*/finished")  # relu; pca is fitted, which needs no stream
    assert read(waits / "sae" / "config.json")["architecture"] == "ReLU"
    succeed(cwd, "train", *common, "sae=relu")
    assert not list(cwd.glob(".scratch/train/*"))
    succeed(cwd, "train", *common, "sae=topk")  # relu is in its place and is not trained again
    assert not list(cwd.glob(".scratch/train/*"))


def test_a_baseline_goes_through_every_stage(finished, tmp_path):
    cwd = beginnings(finished, tmp_path / "cwd")
    write_grid(cwd, saes=["pca"])
    for stage in list(STAGES)[2:]:
        overrides = [o for o in STAGES[stage] if not o.startswith(("sae.", "trainer.", "floors="))]
        here(cwd, stage, *overrides, "sae=pca", "sae.d_sae=32")
    cell = "mosaic-timm-L4-pca"
    assert read(cwd / f"results/evaluate/{cell}/metrics.json")["val"]["nmse"] < 1
    assert read(cwd / f"results/train/{cell}/curve.json") == []
    for stage in OF_ALL:
        here(cwd, stage)


@pytest.mark.parametrize("kind", ["cls", "meanpool"])
def test_an_sae_of_another_kind_of_token_goes_through_every_stage(tmp_path, kind):
    write_grid(tmp_path, saes=[kind])
    here(tmp_path, "extract", *STAGES["extract"], "extract.tokens=[cls,patch,meanpool]")
    own = [f"+sae.tokens=[{kind}]", f"sae.name={kind}"]
    here(tmp_path, "head", *TINY)
    for stage in list(STAGES)[2:]:
        fewer = ["trainer.batch_size=32"] if stage in ("train", "floors") else []  # one token of each image
        here(tmp_path, stage, *STAGES[stage], *own, *fewer)
    cell = f"mosaic-timm-L4-{kind}"
    assert read(tmp_path / f"data/sae/{cell}/config.json")["origin"]["kinds"] == [kind]
    scores = read(tmp_path / f"results/evaluate/{cell}/metrics.json")
    assert scores["val"]["n_tokens"] == 12
    outcome = read(tmp_path / f"results/intervene/{cell}/outcome.json")
    if kind == "meanpool":  # no token of the model
        assert scores["fidelity"] is None and "mean patch tokens" in outcome["reason"]
    else:
        assert scores["fidelity"] is not None and outcome["points"]
    for stage in OF_ALL:
        here(tmp_path, stage)


def test_no_stage_opens_the_sealed_split(tmp_path, monkeypatch):
    """Whatever a stage opens of the embedded data, in its own process as here, is told by its split."""
    opened, begin = set(), Mosaic.__init__

    @wraps(begin)
    def told(self, **options):
        opened.add(options["split"])
        begin(self, **options)

    monkeypatch.setattr(Mosaic, "__init__", told)
    finish(tmp_path)
    assert opened == {"train", "val"}
