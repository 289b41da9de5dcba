"""The facts about the project's own study: what is new, what is edited, and what only looks different."""

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.facts.configuration import read
from pipeline.facts.graph import Code
from pipeline.facts.inputs import state
from pipeline.facts.module import Target
from pipeline.facts.study import closure, collect, grid
from tests.pipeline.study import ROOT, STAGES, environment, run, write_grid


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of the project, to work in."""
    for folder in ("conf", "pipeline", "saev"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts() -> dict:
    read.cache_clear()
    return collect(grid(Path("conf/study.yaml")), Path())


def edit_study(**changes: list) -> None:
    study = yaml.safe_load(Path("conf/study.yaml").read_text())
    study["study"] |= changes
    Path("conf/study.yaml").write_text(yaml.safe_dump(study))


def test_has_every_cell_at_the_levels_of_its_stage(tree):
    edit_study(data=["mosaic", "folder"], backbones=["timm"], saes=["topk", "relu"])
    code = facts()["code"]
    assert set(code["extract"]) == {"mosaic", "folder"} and isinstance(code["extract"]["folder"]["timm"], str)
    assert set(code["train"]["folder"]["timm"]) == {"topk", "relu"}
    assert isinstance(code["report"], str)
    assert code["extract"]["mosaic"] != code["extract"]["folder"]
    assert code["train"]["mosaic"]["timm"]["topk"] != code["train"]["mosaic"]["timm"]["relu"]


def test_what_is_new_leaves_all_cells_as_they_are(tree):
    before = facts()
    for face in Path("saev").rglob("__init__.py"):
        package = ".".join(face.parent.parts)
        (face.parent / "newcomer.py").write_text("class Newcomer:\n    pass\n\n\ndef newcomer():\n    pass\n")
        names = "".join(f"from {package}.newcomer import {n} as {n}\n" for n in ("Newcomer", "newcomer"))
        face.write_text(face.read_text() + names)
    for group in ("data", "backbone", "sae"):
        Path("conf", group, "newcomer.yaml").write_text("_target_: saev.data.Newcomer\nname: newcomer\n")
    Path("conf/newcomer.yaml").write_text("defaults: [{data: mosaic}, _self_]\n")
    Path("pipeline/newcomer.py").write_text(
        "from saev.data import newcomer\n\n\ndef main():\n    newcomer()\n"
    )
    after = facts()
    assert set(after["code"].pop("newcomer")) == set(before["images"])
    assert after == before


def test_a_new_cell_leaves_the_others_as_they_are(tree):
    before = facts()["code"]["train"]
    ((data, backbones),) = before.items()
    backbone, saes = next(iter(backbones.items()))
    edit_study(data=[data, "folder"], backbones=[backbone, "timm"], saes=[*saes, "pca"])
    after = facts()["code"]["train"]
    assert after["folder"]["timm"]["pca"]
    assert {name: after[data][backbone][name] for name in saes} == saes


WHOLE = {"ATTRIBUTES", "TWINS", "DICTIONARIES", "MEASURES"}
"""Tables of which everything is used: another attribute is on other scenes, another floor is one more, and so
is another measure of every outcome."""


def tables() -> list[tuple[str, str]]:
    """(file, name) of every table of kinds: a public module-level dict[str, Callable[...]]."""
    found = []
    for file in sorted((ROOT / "saev").rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_"):
                kinds = ast.unparse(node.annotation).startswith("dict[str, Callable")
                if kinds and node.target.id not in WHOLE:
                    found.append((file.relative_to(ROOT).as_posix(), node.target.id))
    return found


def facts_of_stages() -> dict:
    """Of those that leave files: the laboratory, which offers whatever there is, leaves none."""
    found = facts()
    del found["code"]["lab"]
    return found


@pytest.mark.parametrize(("file", "name"), tables())
def test_a_new_entry_of_a_table_leaves_all_cells_as_they_are(file, name, tree):
    before = facts_of_stages()
    Path(file).write_text(
        re.sub(rf"^({name}: .* = {{)", r'\1"newcomer": newcomer, ', Path(file).read_text(), flags=re.M)
        + "\n\ndef newcomer():\n    pass\n"
    )
    assert "newcomer" in Path(file).read_text() and facts_of_stages() == before


def rewritten(source: str) -> str:
    """The same program by another hand: other layout, docstrings and comments, another order of imports."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = "Another docstring."
    imports = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
    shuffled = iter(random.Random(0).sample(imports, len(imports)))
    module.body = [next(shuffled) if node in imports else node for node in module.body]
    return f"# A comment.\n{ast.unparse(module)}\n"


def test_layout_comments_docstrings_and_the_order_of_imports_have_no_meaning(tree):
    before = facts()
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=60", "pipeline", "saev"]
    options = ["format.quote-style='single'", "format.skip-magic-trailing-comma=true"]
    subprocess.run([*ruff, *(f"--config={option}" for option in options)], check=True, capture_output=True)
    assert Path("saev/files.py").read_text() != (ROOT / "saev/files.py").read_text()
    assert facts() == before
    for file in Path().rglob("*.py"):
        file.write_text(rewritten(file.read_text()))
    assert facts() == before


CELL = {"data": "mosaic", "backbone": "timm", "sae": "topk"}


def test_an_edit_in_any_module_that_a_stage_reaches_counts(tree):
    read.cache_clear()
    before = closure(Code(), "train", CELL)
    functions = {}
    for module, _, name in (label.partition(":") for label in before.reached):
        file = Path(*module.split(".")).with_suffix(".py")
        if file.exists():
            for node in ast.parse(file.read_text()).body:
                if getattr(node, "name", None) == name:
                    functions[file] = node
    files = [
        "saev/files.py",
        "saev/errors.py",
        "saev/machine/machine.py",
        "saev/sae/model.py",
        "pipeline/train.py",
    ]
    for file in {*map(Path, files), *random.Random(0).sample(sorted(functions), 4)}:
        source, node = file.read_text(), functions[file]
        lines = source.splitlines(keepends=True)
        lines.insert(node.end_lineno, f"{' ' * node.body[-1].col_offset}newcomer = 1\n")
        file.write_text("".join(lines))
        assert closure(Code(), "train", CELL).digest != before.digest, f"{file}: {node.name}"
        file.write_text(source)
    assert closure(Code(), "train", CELL).digest == before.digest


@pytest.mark.slow
def test_everything_that_the_stages_call_counts(tmp_path, monkeypatch):
    """Every function that is seen to run is one that the search has found."""
    code = Code(str(ROOT))
    write_grid(tmp_path)
    for stage, overrides in STAGES.items():
        out = tmp_path / f"{stage}.json"
        command = [sys.executable, "-m", "tests.pipeline.trace", out, stage, *overrides]
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True)
        monkeypatch.chdir(ROOT)
        reached = set(closure(code, stage, CELL).reached)
        monkeypatch.undo()
        called = {
            label for file, line, _ in json.loads(out.read_text()) for label in labels(code, file, line)
        }
        assert len(called) > 5 and called <= reached, f"{stage}: {sorted(called - reached)}"


def labels(code: Code, file: str, line: int) -> list[str]:
    """The definition that the function in this line belongs to, as `Closure.reached` would have it."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    found = []
    for node in ast.parse((ROOT / file).read_text()).body:
        if first_line(node) <= line <= node.end_lineno:
            name = getattr(node, "name", None)
            targets = [name] if name else [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
            parts = dict(code.node(Target(module, name)).parts) if name else {}
            inside = [m for m in getattr(node, "body", []) if first_line(m) <= line <= m.end_lineno]
            method = getattr(inside[0], "name", None) if inside else None
            found += [f"{module}:{t}" + (f".{method}" if method in parts else "") for t in targets[:1]]
    return found


def first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def test_states_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = Path("images/train/cat")
    images.mkdir(parents=True)
    (images / "1.png").write_bytes(b"1")
    os.symlink(images.parent.resolve(), images / "loop")
    os.symlink("nowhere", images / "broken")
    assert state(["images", "cat", ""]) == state(["images"]) is not None
    assert state(["no such", "saev.data.ImageFolder", "."]) is None  # what holds the results is left out
    seen = {state(["images"])}

    def changed() -> bool:
        new = state(["images"]) not in seen
        seen.add(state(["images"]))
        return new

    assert not changed()
    (images / ".hidden").touch()
    assert not changed()
    (images / "2.png").write_bytes(b"2")
    assert changed()
    os.utime(images / "2.png", ns=(0, 0))
    assert changed()
    (images / "2.png").write_bytes(b"22")
    os.utime(images / "2.png", ns=(0, 0))
    assert changed()
    (images / "2.png").rename(images / "3.png")
    assert changed()
    (images / "3.png").unlink()
    assert not changed()  # as in the beginning
    assert state(["images/train/*/?.png"]) not in (None, state(["images"]))


def test_changed_images_are_a_changed_fact_of_their_data_set_alone(tree):
    edit_study(data=["mosaic", "folder"])
    before = facts()
    assert before["images"] == {"mosaic": None, "folder": None}
    Path("data/images/train/cat").mkdir(parents=True)
    Path("data/images/train/cat/1.png").touch()
    after = facts()
    assert after["images"].pop("folder") and after["images"] == {"mosaic": None}
    assert after["code"] == before["code"] and after["weights"] == before["weights"]


def test_a_note_is_a_changed_fact_whenever_it_was_written(tree):
    before = facts()
    Path("notes").mkdir()
    note = Path("notes/mosaic-dinov2_packaged-L10-topk.yaml")
    note.write_text("3: stripes")
    after = facts()
    assert after["notes"] != before["notes"] and after == before | {"notes": after["notes"]}
    os.utime(note, ns=(0, 0))
    assert facts() == after
    note.write_text("3: strings")
    assert facts()["notes"] not in (before["notes"], after["notes"])


def command(*arguments: str) -> subprocess.CompletedProcess:
    return run(Path.cwd(), "facts", *arguments)


def test_the_command_writes_what_is_new(tree):
    assert command().returncode == 0
    file = Path("facts.json")
    found = json.loads(file.read_text())["code"]["train"]["mosaic"]
    assert list(found) == ["dinov2_packaged", "dinov2_untrained"]
    assert all(list(saes) == ["topk"] for saes in found.values())
    os.utime(file, ns=(0, 0))
    assert command().returncode == 0 and file.stat().st_mtime_ns == 0


def test_a_study_elsewhere_has_the_code_of_the_project(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    edit_study(data=["folder"], backbones=["timm"], saes=["relu"])
    assert command().returncode == 0
    code = json.loads(Path("facts.json").read_text())["code"]
    (saes,) = code["train"]["folder"].values()
    assert list(saes) == ["relu"]


def test_the_command_imports_nothing_heavy(tree):
    said = "import runpy, sys; runpy.run_module('pipeline.facts', run_name='__main__'); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", said], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "yaml" in modules and not {"torch", "hydra", "omegaconf", "numpy", "dvc"} & set(modules)


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (None, "conf/study.yaml: No such file or directory"),
        ("", "conf/study.yaml: expected lists data, backbones, saes below `study:`, got None"),
        ("study: {data: [odd], backbones: []}", "conf/data/odd.yaml: No such file or directory"),
        ("study: [", "conf/study.yaml: while parsing"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(study, said, tree):
    Path("conf/study.yaml").unlink()
    if study is not None:
        Path("conf/study.yaml").write_text(study)
    result = command()
    assert result.returncode == 1 and said in result.stderr and result.stderr.count("\n") == 1


def test_it_has_no_options(tree):
    assert "facts has no options, got root=studies" in command("root=studies").stderr


def test_code_that_is_none_is_one_line(tree):
    Path("saev/sae/model.py").write_text("def\n")
    result = command()
    assert result.returncode == 1 and result.stderr.endswith("/saev/sae/model.py:1: invalid syntax\n")
