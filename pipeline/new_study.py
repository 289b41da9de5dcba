"""A study of one's own: a folder with its own conf/, dvc.yaml and lock, anywhere.

python -m pipeline.new_study ../birds
"""

import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.stage import one_line_errors
from saev.errors import SaevError
from saev.outputs import new_directory

HOME = Path(__file__).parents[1]
IGNORED = ".scratch/\n/data/\n/images/\n/dvc_plots/\n/facts.json\n__pycache__/\n"


def main(words: list[str]) -> None:
    """Make the folder; where it lies in no repository, make it one, since DVC compares by commits."""
    if "--help" in words:
        print(__doc__)
        return
    if len(words) != 1:
        raise SaevError(f"new_study takes one folder that is not there yet, got {' '.join(words) or 'none'}")
    folder = Path(words[0])
    if folder.exists():
        raise SaevError(f"{folder}: is there already; a new study takes a folder that is not")
    with new_directory(folder, {}) as made:
        shutil.copytree(HOME / "conf", made / "conf")
        shutil.copy(HOME / "dvc.yaml", made)
        (made / ".gitignore").write_text(IGNORED)
        if run(made, "git", "rev-parse", "--is-inside-work-tree", quiet=True) != 0:
            run(made, "git", "init", "--quiet")
        if run(made, sys.executable, "-m", "dvc", "root", quiet=True) != 0:
            run(made, sys.executable, "-m", "dvc", "init", "--quiet")
            shutil.copy(HOME / ".dvc" / "config", made / ".dvc" / "config")
    print(f"new_study: list its cells in {folder}/conf/study.yaml, then: cd {folder}; dvc repro")


def run(folder: Path, *command: str, quiet: bool = False) -> int:
    """The exit code of a command run in the folder."""
    return subprocess.run(command, cwd=folder, capture_output=quiet).returncode


if __name__ == "__main__":
    with one_line_errors("new_study"):
        main(sys.argv[1:])
