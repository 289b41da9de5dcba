"""Studies of one's own, and sweeps: the real commands, DVC included, on images that git does not know."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.sweep import expand
from saev.errors import SaevError
from tests import mixed
from tests.pipeline.study import ROOT, command, environment


def call(cwd: Path, *words: str) -> str:
    """The standard output of a command that must succeed."""
    own = {**environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(words, cwd=cwd, env=own, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Path:
    """A new study of two classes of images through a tiny ViT."""
    folder = tmp_path_factory.mktemp("own") / "birds"
    call(folder.parent, *command("new_study", "birds"))
    mixed.class_folders(folder / "images", {"train": 6, "val": 4}, n_classes=3, scale=0.6)
    for file, changes in {
        "data/folder": {"root": str(folder / "images")},
        "backbone/timm": {"model": "test_vit", "pretrained": False, "img_size": 64},
        "sae/topk": {"d_sae": 64, "k": 4, "prefixes": []},
        "trainer/default": {"steps": 20, "batch_size": 64},
        "study": {
            "study": {
                "data": ["folder"],
                "backbones": ["timm"],
                "layers": [4],
                "saes": ["topk"],
                "trainer": "default",
            }
        },
    }.items():
        path = folder / "conf" / f"{file}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))
    return folder


@pytest.mark.slow
def test_a_study_of_ones_own_and_a_sweep(birds):
    before = call(ROOT, "git", "status", "--short")
    call(birds, "dvc", "repro")
    assert (birds / "report/index.html").is_file() and (birds / "dvc.lock").is_file()
    assert "didn't change" in call(birds, "dvc", "repro")  # a second time nothing runs but the facts
    # A replaced image is noticed, though its name stays.
    picture = next((birds / "images/train").rglob("*.jpg"))
    picture.write_bytes(next((birds / "images/val").rglob("*.jpg")).read_bytes())
    assert "Running stage 'extract@folder-timm'" in call(birds, "dvc", "repro")
    call(birds, *command("sweep", "-m", "sae=topk", "sae.k=2,6"))
    names = yaml.safe_load((birds / "conf/study.yaml").read_text())["study"]["saes"]
    assert names == ["topk", "topk-k2", "topk-k6"]
    table = json.loads(call(birds, "dvc", "metrics", "show", "--json"))[""]["data"]
    rows = {Path(file).stem: row["data"] for file, row in table.items()}
    assert set(rows) == {f"folder-timm-L4-{name}" for name in names}
    assert rows["folder-timm-L4-topk-k2"]["l0"] <= 2 < rows["folder-timm-L4-topk-k6"]["l0"] <= 6
    lines = call(birds, "dvc", "metrics", "show").splitlines()
    assert max(map(len, lines)) <= 120
    assert call(ROOT, "git", "status", "--short") == before  # the embedded study is none the wiser


@pytest.mark.slow
def test_queued_experiments_run_everything_downstream(birds):
    call(birds, "dvc", "repro")
    call(birds, "git", "add", "-A")
    call(birds, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "Study birds")
    call(birds, "dvc", "exp", "run", "--queue", "-S", "conf/sae/topk.yaml:k=2,6")
    call(birds, "dvc", "exp", "run", "--run-all")
    words = ("dvc", "exp", "show", "--only-changed", "--drop", ".*[./]|Created|State|Executor|conf")
    lines = call(birds, *words).splitlines()
    tried = [line.split() for line in lines if "[" in line]
    assert sorted(line[-1] for line in tried) == ["2", "6"]  # the last column is k
    assert "l0" in lines[1] and "nmse" in lines[1] and max(map(len, lines)) <= 120


def test_members_of_a_sweep_are_named_after_what_differs():
    folder = ROOT / "conf" / "sae"
    found = dict(expand(["sae=topk,batchtopk", "sae.k=8,16", "sae.lr=0.001"], folder))
    assert list(found) == ["topk-k8", "topk-k16", "batchtopk-k8", "batchtopk-k16"]
    assert found["topk-k16"]["k"] == 16 and found["topk-k16"]["lr"] == 0.001
    assert found["batchtopk-k8"]["_target_"] == "saev.sae.BatchTopK"
    assert list(dict(expand(["sae.lr=0.01,0.03"], folder))) == ["topk-lr0_01", "topk-lr0_03"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.steps=3"], "a sweep is over sae and sae.<option>, got trainer.steps"),
        (["sae=nonsense"], r"sae/nonsense.yaml: no such file; there are batchtopk, gated"),
    ],
)
def test_what_is_no_sweep_is_one_line(words, message):
    with pytest.raises(SaevError, match=message):
        list(expand(words, ROOT / "conf" / "sae"))


def test_a_new_study_takes_a_folder_that_is_not_there(tmp_path):
    result = subprocess.run(
        command("new_study", "."), cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert result.returncode == 1 and "is there already" in result.stderr
