"""The stage, as its users run it."""

import re
from pathlib import Path

import yaml
from dvc.repo import Repo

from tests.pipeline.study import ROOT, run
from tests.report.studies import write_study


def test_the_page_has_every_picture_that_it_names_or_one_line_says_why_not(tmp_path):
    grid = write_study(tmp_path, layers=(4, 10))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/study.yaml").write_text(yaml.safe_dump({"study": grid}))
    done = run(tmp_path, "report")
    assert done.returncode == 0 and done.stderr == "report: report/index.html\n", done.stderr
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    pictures = {p.relative_to(tmp_path / "report").as_posix() for p in tmp_path.glob("report/**/*.*g")}
    assert len(pictures) == 2 * (3 + 2 * 10) + 1 and all(f'src="{picture}"' in page for picture in pictures)
    assert page.count("<img") == len(pictures) + 1  # edits against the image stand at the head too

    damaged = Path("results/probe/birds-vit-L4-relu/f1.svg")
    (tmp_path / damaged).write_bytes((tmp_path / damaged).read_bytes()[:40])
    failed = run(tmp_path, "report")
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1
    assert failed.stderr.startswith(f"error: {damaged}: damaged: ")
    assert (tmp_path / "report/index.html").read_text(encoding="utf-8") == page  # the good one is kept


def test_the_commands_below_figures_name_stages_that_there_are(tmp_path):
    grid = yaml.safe_load((ROOT / "conf/study.yaml").read_text())["study"]
    parts = {key: tuple(grid[key]) for key in ("data", "backbones", "layers", "saes")}
    write_study(tmp_path, **parts)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/study.yaml").write_text(yaml.safe_dump({"study": grid}))
    assert run(tmp_path, "report").returncode == 0
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    named = {
        target for words in re.findall("<code>dvc repro -fs (.*?)</code>", page) for target in words.split()
    }
    with Repo(str(ROOT)) as repo:
        there = {stage.addressing for stage in repo.index.stages}
    assert named <= there and len({name.partition("@")[0] for name in named}) > 6
    # What the data are is a link away.
    assert f'<a href="#made-data-{grid["data"][0]}">' in page and "saev.data." in page
