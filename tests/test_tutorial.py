"""The tutorial, and how a study is shared, word for word, on the tutorial's images and a smaller model."""

import json
from pathlib import Path

import pytest
import yaml

from tests.documented import ROOT, Block, blocks, run, written
from tests.pipeline.study import digest

SMALL = {
    "backbone/dinov2_packaged": {"_target_": "saev.backbones.timm_vit", "model": "vit_tiny_patch16_224"},
    "backbone/dinov2_untrained": {"_target_": "saev.backbones.timm_vit", "model": "vit_tiny_patch16_224"},
    "sae/topk": {"d_sae": 64, "k": 4, "prefixes": []},
    "trainer/quick": {"steps": 20, "batch_size": 64},
    "intervene": {
        "intervene": {"images": 4, "strengths": [0.0, -2.0], "listed": {}, "arms": [{"place": "all"}]}
    },
}
"""What makes it a matter of minutes: a model of random weights, an SAE of 64 latents, few steps, one arm."""


@pytest.fixture(scope="module")
def stones(tmp_path_factory) -> Path:
    """The study of the tutorial, as it is in the end."""
    beside = tmp_path_factory.mktemp("tutorial")
    project = beside / "saev"
    project.mkdir()
    for name in ("pipeline", "saev", "conf", "dvc.yaml", "notes", ".dvc", ".venv"):
        (project / name).symlink_to(ROOT / name)
    folder = beside / "stones"
    for number, block in enumerate(blocks("tutorial.md")):
        if block.title:
            written(block, folder)
        elif number == 0:
            # The second step is in the folder that the first has made; `cd` ends with its block.
            run(block, project, ROOT)
            make_small(folder)
        else:
            run(block, folder, ROOT)
    return folder


def make_small(folder: Path) -> None:
    for name, changes in SMALL.items():
        file = folder / f"conf/{name}.yaml"
        whole = yaml.safe_load(file.read_text()) | changes
        if name.startswith("backbone"):
            whole |= {"pretrained": False, "img_size": 64}
        file.write_text(yaml.safe_dump(whole, sort_keys=False))


@pytest.mark.slow
def test_the_tutorial_ends_in_a_report_and_a_verdict(stones):
    assert (stones / "report/index.html").is_file() and (stones / "atlas/index.html").is_file()
    (row,) = json.loads((stones / "results/verdicts/verdicts.json").read_text())["verdicts"]
    assert row["name"] == "brick-lowered" and row["verdict"] in ("supported", "refuted", "inconclusive")
    assert "brick-lowered" in (stones / "results/ledger.jsonl").read_text()


@pytest.mark.slow
def test_a_colleague_has_the_study_without_computing_it(stones, tmp_path, monkeypatch):
    you, colleague = (block for block in blocks("sharing.md") if block.language == "sh")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    monkeypatch.setenv("STUDY", str(stones))
    before = digest(stones, "report", "data", "results")
    run(you, stones, ROOT)
    run(colleague, tmp_path, ROOT)
    theirs = tmp_path / "colleague"
    assert digest(theirs, "report", "data", "results") == before
    # On a shared disk, where the images are the same files, nothing is stale.
    (theirs / "images").symlink_to(stones / "images")
    said = run(Block("sh", None, "dvc repro\n"), theirs, ROOT)
    assert "Running stage 'extract" not in said and "Running stage 'train" not in said
