"""The stage, as its users run it."""

from pathlib import Path

import yaml

from tests.pipeline.study import run
from tests.report.studies import write_study


def test_the_page_has_every_picture_that_it_names_or_one_line_says_why_not(tmp_path):
    grid = write_study(tmp_path, layers=(4, 10))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/study.yaml").write_text(yaml.safe_dump({"study": grid}))
    done = run(tmp_path, "report")
    assert done.returncode == 0 and done.stderr == "report: report/index.html\n", done.stderr
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    pictures = {p.relative_to(tmp_path / "report").as_posix() for p in tmp_path.glob("report/**/*.png")}
    assert len(pictures) == 2 * (3 + 2 * 6) and all(f'src="{picture}"' in page for picture in pictures)
    assert page.count("<img") == len(pictures)

    damaged = Path("results/probe/birds-vit-L4-relu/f1.png")
    (tmp_path / damaged).write_bytes((tmp_path / damaged).read_bytes()[:40])
    failed = run(tmp_path, "report")
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1
    assert failed.stderr.startswith(f"error: {damaged}: damaged: ")
    assert (tmp_path / "report/index.html").read_text(encoding="utf-8") == page  # the good one is kept
