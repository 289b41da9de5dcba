"""The laboratory as a command: in the folder of a finished study, in a process of its own."""

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import chdir
from importlib import import_module

import pytest
from hydra import compose, initialize_config_dir

from saev.app import Session, serve
from saev.errors import SaevError
from tests.pipeline.fuzz import attempt, cases_of, fault
from tests.pipeline.study import LAYER, QUICK, ROOT, SAE, command, digest, environment, run

CELL = "mosaic-tiny-L4-topk"
TINY = {"_target_": "saev.backbones.timm_vit", "name": "tiny", "model": "test_vit"}
TINY |= {"pretrained": False, "img_size": 64}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """As far as the laboratory needs it finished, with a conf/ of its own."""
    cwd = tmp_path_factory.mktemp("study")
    shutil.copytree(ROOT / "conf", cwd / "conf")
    (cwd / "conf/backbone/tiny.yaml").write_text(json.dumps(TINY))
    mosaic = (cwd / "conf/data/mosaic.yaml").read_text()
    small = mosaic.replace("size: 224", "size: 64").replace("512", "24").replace("192", "8")
    (cwd / "conf/data/mosaic.yaml").write_text(small)
    grid = {"data": ["mosaic"], "backbones": ["tiny"], "layers": [4, 5], "saes": ["topk"]}
    (cwd / "conf/study.yaml").write_text(json.dumps({"study": grid | {"trainer": "quick"}}))
    stages = {"extract": [], "head": [], "train": [*LAYER, *SAE, *QUICK], "features": LAYER}
    with chdir(cwd), initialize_config_dir(str(cwd / "conf"), version_base="1.3"):
        for stage, overrides in stages.items():
            cfg = compose(stage, ["backbone=tiny", *overrides])
            if stage == "extract":
                cfg.layers = [4, 5]
            import_module(f"pipeline.{stage}").main(cfg)
    return cwd


def test_it_serves_the_finished_cells_of_a_study_and_ends_on_ctrl_c(study):
    before = digest(study, ".")
    words = command("lab")
    process = subprocess.Popen(
        words, cwd=study, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}api/study") as answer:
            assert json.load(answer)["cells"] == [CELL]
        with urllib.request.urlopen(f"{url}api/cell?cell={CELL}") as answer:
            assert json.load(answer)["images"] == 8
    finally:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in told and CELL in told
    assert digest(study, ".") == before


def test_a_study_of_which_nothing_is_finished_is_told_in_a_line(tmp_path):
    result = run(tmp_path, "lab")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines() == [
        "error: no cell of conf/study.yaml is finished; run make study, or dvc repro"
    ]


@pytest.mark.parametrize("option", ["backbone.name=other", "data=folder", "sae.k=3"])
def test_what_is_told_of_one_cell_is_refused_and_not_ignored(study, option, monkeypatch):
    monkeypatch.setattr("saev.app.serve", lambda session, port, ready: pytest.fail("it served"))
    ended = attempt(study, "lab", (option,))
    assert ended.code == (
        f"error: {option.partition('=')[0]} is no option of the laboratory, which opens all finished cells "
        "of conf/study.yaml"
    )


def test_overrides_that_nobody_means(study, monkeypatch):
    """It serves, or says in one line what is wrong before it does."""
    served = []
    monkeypatch.setattr("saev.app.serve", lambda session, port, ready: served.append(session))
    for folder in ("a_folder", "a_file"):
        (study / folder).mkdir()
    own = [c for own in ("machine", "port", "acts", "codes", "cell") for c in cases_of("lab", [], own)]
    for case in random.Random(0).sample(own, 40):
        told = fault(case._replace(says=()), attempt(study, *case[:2]))
        assert told is None, f"{case.overrides}: {told}"
    assert 0 < len(served) < 40


def test_a_port_that_is_taken_is_told_in_a_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SaevError, match=f"port {port} of 127.0.0.1 cannot be had"):
            serve(Session({}), port)


def test_without_its_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SaevError, match=r"uvicorn; install it with: pip install 'saev\[lab\]'"):
        serve(Session({}))
