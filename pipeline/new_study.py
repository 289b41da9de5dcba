"""A study of one's own, or one of the paper's: a folder with its own conf/, dvc.yaml and lock, anywhere.

python -m pipeline.new_study ../birds
python -m pipeline.new_study ../ade20k study=ade20k_control images=/data/ADEChallengeData2016
"""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from pipeline.overlay import lay_over, put
from pipeline.stage import one_line_errors
from saev.errors import SaevError
from saev.outputs import new_directory

HOME = Path(__file__).parents[1]
STUDIES = HOME / "conf" / "studies"
"""A folder of each: the files of its conf/ that differ from the repository's, and of these what differs."""
PLACES = ("root", "path")
"""What the options of data call the place where the images lie."""
IGNORED = ".scratch/\n/data/\n/images/\n/dvc_plots/\n/facts.json\n/atlas\n__pycache__/\n"


def main(words: list[str]) -> None:
    """Make the folder; where it lies in no repository, make it one, since DVC compares by commits."""
    if "--help" in words:
        print(__doc__)
        return
    folder, options = asked(words)
    with new_directory(folder, {}) as made:
        configure(made / "conf", options)
        (made / "notes").mkdir()
        shutil.copy(HOME / "notes" / "README.md", made / "notes")
        shutil.copy(HOME / "dvc.yaml", made)
        (made / ".gitignore").write_text(IGNORED)
        if run(made, "git", "rev-parse", "--is-inside-work-tree", quiet=True) != 0:
            run(made, "git", "init", "--quiet")
        if run(made, sys.executable, "-m", "dvc", "root", quiet=True) != 0:
            run(made, sys.executable, "-m", "dvc", "init", "--quiet")
            shutil.copy(HOME / ".dvc" / "config", made / ".dvc" / "config")
    what = "look at" if "study" in options else "list its cells in"
    print(f"new_study: {what} {folder}/conf/study.yaml, then: cd {folder}; dvc repro")


def asked(words: list[str]) -> tuple[Path, dict[str, str]]:
    """The folder, and what is said as key=value.

    Raises:
        SaevError: not one folder, one that is there already, or an unknown key or study.
    """
    options = dict(word.split("=", 1) for word in words if "=" in word)
    places = [word for word in words if "=" not in word]
    if unknown := options.keys() - {"study", "images"}:
        raise SaevError(f"new_study: {min(unknown)} is no option; there are study, images")
    if len(places) != 1:
        raise SaevError(f"new_study takes one folder that is not there yet, got {' '.join(places) or 'none'}")
    if (folder := Path(places[0])).exists():
        raise SaevError(f"{folder}: is there already; a new study takes a folder that is not")
    there = sorted(file.name for file in STUDIES.iterdir())
    if options.get("study", there[0]) not in there:
        raise SaevError(f"study must be one of {', '.join(there)}, got {options['study']!r}")
    return folder, options


def configure(conf: Path, options: dict[str, str]) -> None:
    """Write a study's configuration: the repository's, what the `study` lays over it, where `images` are."""
    # The predictions are of the embedded study; what a file of them is stays.
    predictions = [file.name for file in (HOME / "conf/hypothesis").glob("*.yaml")]
    shutil.copytree(HOME / "conf", conf, ignore=shutil.ignore_patterns(*predictions, "studies"))
    if "study" in options:
        lay_over(conf, STUDIES / options["study"])
    if "images" in options:
        place_images(conf, options["images"])


def place_images(conf: Path, images: str) -> None:
    """Say in the file of the study's data where its images are.

    Raises:
        SaevError: there are several data sets, or one that is not in a folder of its own.
    """
    names = yaml.safe_load((conf / "study.yaml").read_text())["study"]["data"]
    keys = [key for key in PLACES if key in yaml.safe_load((conf / f"data/{names[0]}.yaml").read_text())]
    if len(names) > 1 or not keys:
        raise SaevError(
            f"images= is for a study of one data set that has a root or path, not of {', '.join(names)}; "
            "say it in conf/data"
        )
    # Absolute, because the folder of the study is another place than where this was said.
    found = Path(images).expanduser()
    put(conf / "data" / f"{names[0]}.yaml", {keys[0]: str(found.absolute() if found.exists() else images)})


def run(folder: Path, *command: str, quiet: bool = False) -> int:
    """The exit code of a command run in the folder."""
    return subprocess.run(command, cwd=folder, capture_output=quiet).returncode


if __name__ == "__main__":
    with one_line_errors("new_study"):
        main(sys.argv[1:])
