"""The whole study, small, as its users run it: every stage a process, every file read back."""

import json
from pathlib import Path

import pytest

from tests.pipeline.study import TINY, beginnings, digest, run

SAE = ["sae.d_sae=96", "sae.k=8", "sae.prefixes=[16]"]
STAGES = {
    "extract": TINY,
    "head": TINY,
    "train": [*TINY, *SAE, "sae.beside=[{k: 4}]", "trainer.steps=60", "trainer.batch_size=128"],
    "features": TINY,
    "probe": TINY,
    "intervene": [*TINY, "intervene.max_images=6", "intervene.control_images=4"],
    "report": ["study.backbones=[timm]", "study.saes=[topk]"],
}


def study(cwd: Path) -> Path:
    for stage, overrides in STAGES.items():
        result = run(cwd, stage, *overrides)
        assert result.returncode == 0, f"{stage}: {result.stderr}"
        assert result.stderr == "", f"{stage} is not quiet: {result.stderr}"
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
        if p.is_file() and "data/acts" not in p.as_posix()
    }
    sae, probe, intervene = (f"results/{stage}/mosaic-timm-topk" for stage in ("train", "probe", "intervene"))
    figures = [f"report/mosaic-timm/{name}.png" for name in ("loss", "frontier", "density")]
    figures += [f"report/mosaic-timm/topk/{name}.png" for name in ("exemplars", "f1", "maps", "tradeoff")]
    checkpoints = ("sae", "beside/1")
    assert files == {
        "results/extract/mosaic-timm.json",
        "results/head/mosaic-timm.json",
        "data/head/mosaic-timm/head.safetensors",
        *(
            f"data/sae/mosaic-timm-topk/{c}/{file}"
            for c in checkpoints
            for file in ("sae.safetensors", "config.json")
        ),
        "data/sae/mosaic-timm-topk/density.json",
        *(f"data/codes/mosaic-timm-topk/{split}.safetensors" for split in ("train", "val")),
        *(f"{sae}/{name}.json" for name in ("metrics", "curve", "frontier")),
        *(f"{probe}/{name}" for name in ("metrics.json", "classes.json", "exemplars.png", "f1.png")),
        *(
            f"{intervene}/{name}"
            for name in ("metrics.json", "outcome.json", "curve.json", "maps.png", "tradeoff.png")
        ),
        "report/index.html",
        *figures,
    }


def test_stages_agree_with_each_other(finished):
    train = read(finished / "results/train/mosaic-timm-topk/metrics.json")
    config = read(finished / "data/sae/mosaic-timm-topk/sae/config.json")
    assert config["metrics"] == train and config["layer"] == 4
    assert train["val"]["nmse"] < 1 and train["val"]["l0"] <= 8
    frontier = read(finished / "results/train/mosaic-timm-topk/frontier.json")
    assert [point["l0"] <= k for point, k in zip(frontier, (8, 4), strict=True)] == [True, True]
    classes = read(finished / "results/probe/mosaic-timm-topk/classes.json")
    outcome = read(finished / "results/intervene/mosaic-timm-topk/outcome.json")
    assert set(outcome["controls"]) == {row["name"] for row in classes}
    assert not set(outcome["controls"].values()) & {row["latent"] for row in classes}
    page = (finished / "report/index.html").read_text()
    for image in finished.glob("report/**/*.png"):
        assert image.relative_to(finished / "report").as_posix() in page


def test_a_second_study_gives_the_same_bytes(finished, tmp_path):
    assert digest(study(tmp_path), ".") == digest(finished, ".")


def test_cells_trained_together_have_the_bytes_of_cells_trained_alone(finished, tmp_path):
    common = [*TINY, "trainer.steps=30", "trainer.batch_size=128"]
    together, alone = (beginnings(finished, tmp_path / name) for name in ("together", "alone"))
    # Options of one SAE are its own: relu's do not reach the cells beside it.
    relu = ["sae=relu", "sae.d_sae=64", "sae.beside=[{l1: 1}]"]
    for cwd, overrides in (
        (together, [*relu, "together=[topk,random]"]),
        (alone, relu),
        (alone, ["sae=topk"]),
        (alone, ["sae=random"]),
    ):
        result = run(cwd, "train", *common, *overrides)
        assert result.returncode == 0, result.stderr
    assert digest(together, "data/sae", "results") == digest(alone, "data/sae", "results")
    assert len(digest(together, "data/sae")) == 3 + 3 + 3 + 2


def test_a_baseline_goes_through_every_stage(finished, tmp_path):
    cwd = beginnings(finished, tmp_path)
    (cwd / "results").mkdir()
    for made in ("extract", "head"):
        (cwd / "results" / made).symlink_to(finished / "results" / made)
    for stage in ("train", "features", "probe", "intervene"):
        result = run(
            cwd, stage, "sae=pca", "sae.d_sae=32", *STAGES[stage if stage == "intervene" else "features"]
        )
        assert result.returncode == 0 and result.stderr == "", f"{stage}: {result.stderr}"
    assert read(cwd / "results/train/mosaic-timm-pca/metrics.json")["val"]["nmse"] < 1
    assert read(cwd / "results/train/mosaic-timm-pca/curve.json") == []
    report = run(cwd, "report", "study.backbones=[timm]", "study.saes=[pca]")
    assert report.returncode == 0 and report.stderr == "", report.stderr
