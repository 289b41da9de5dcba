"""dvc.yaml against what Hydra composes: a file that a stage reads must be one of its parameters."""

import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]

# Where and how a stage runs and logs, of no influence on what it writes; and where results go, which dvc.yaml
# says itself, so that a new stage makes none of the others stale.
UNTRACKED_FILES = {"conf/hydra/default.yaml"}
UNTRACKED_KEYS = {
    "conf/machine/default.yaml": {"accelerator", "devices", "num_nodes", "parallel", "workers"},
    "conf/train.yaml": {"together"},
    "conf/paths.yaml": {"results"},
}


@cache
def stages():
    """All but the first, which writes facts.json and has no configuration."""
    with Repo(str(ROOT)) as repo:
        return {stage.addressing: stage for stage in repo.index.stages if stage.addressing != "facts"}


def composed(stage, root: Path = ROOT):
    _, _, module, *overrides = shlex.split(stage.cmd)
    name = module.removeprefix("pipeline.")
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        return name, compose(name, overrides, return_hydra_config=True)


@pytest.mark.parametrize("address", stages())
def test_params_cover_every_composed_file_and_key(address):
    covered(stages()[address])


def covered(stage, root: Path = ROOT) -> None:
    """That the parameters of a stage name all that it composes."""
    address, (name, cfg) = stage.addressing, composed(stage, root)
    files = {f"conf/{name}.yaml"}
    for group, choice in cfg.hydra.runtime.choices.items():
        if not group.startswith("hydra/"):
            files.add(f"conf/{group}/{choice}.yaml")
    files |= {
        f"conf/{entry}.yaml"
        for entry in OmegaConf.load(root / "conf" / f"{name}.yaml").defaults
        if isinstance(entry, str)
    } - {"conf/_self_.yaml"}
    tracked = {Path(dep.fs_path).relative_to(root).as_posix(): dep.params for dep in stage.params}
    # A root file that only lists its defaults holds no parameter of its own.
    own = {file: set(OmegaConf.load(root / file)) - {"defaults"} for file in files}
    for file in sorted(files - UNTRACKED_FILES):
        if not own[file]:
            continue
        assert file in tracked, f"{address} composes {file}"
        if tracked[file]:  # selected keys
            assert own[file] - UNTRACKED_KEYS.get(file, set()) == set(tracked[file]), (
                f"{address}: keys of {file}"
            )


@pytest.mark.parametrize("address", stages())
def test_every_stage_depends_on_the_code_that_it_runs(address):
    stage = stages()[address]
    name = shlex.split(stage.cmd)[2].removeprefix("pipeline.")
    (facts,) = [dep.params for dep in stage.params if dep.fs_path.endswith("facts.json")]
    assert f"code.{name}" in {".".join(fact.split(".")[:2]) for fact in facts}
    # What is a hash per cell must be asked for its own cell.
    assert all(part in address for fact in facts for part in fact.split(".")[2:])


def test_group_files_hold_no_interpolation():
    """`dvc exp run -S` edits one file by itself, and would bake or break an interpolation."""
    for file in [*ROOT.glob("conf/*/*.yaml"), ROOT / "conf/study.yaml"]:
        assert "${" not in file.read_text(), file


@pytest.mark.parametrize("group", ["data", "backbone", "sae"])
def test_every_choice_composes_and_names_itself(group):
    for file in (ROOT / "conf" / group).glob("*.yaml"):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("train", [f"{group}={file.stem}"])
        assert cfg[group].name == file.stem


def test_a_study_of_one_sae_parses(tmp_path):
    """Nothing in dvc.yaml may count on how many cells the study has."""
    import shutil

    for file in ("dvc.yaml", "conf/study.yaml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    study = tmp_path / "conf/study.yaml"
    grid = yaml.safe_load(study.read_text())["study"]
    one = {key: value[:1] if isinstance(value, list) else value for key, value in grid.items()}
    study.write_text(yaml.safe_dump({"study": one}))
    Repo.init(str(tmp_path), no_scm=True).close()
    with Repo(str(tmp_path)) as repo:
        assert len(repo.index.stages) == len(OmegaConf.load(ROOT / "dvc.yaml").stages) and repo.index._plots
