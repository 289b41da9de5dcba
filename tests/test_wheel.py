"""The package as others get it: built as a wheel and installed where the clone is not."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since setuptools leaves its work beside the sources."""
    beside = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        if name.startswith(("saev/", "pipeline/", "conf/")) or name in (
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ):
            place = beside / "source" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", beside, beside / "source"], check=True)
    (found,) = beside.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The Python of an environment with the wheel alone, and below it the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", packages, wheel], check=True)
    # After its own: and without the lines of .pth files, by which the editable install would come too.
    (packages / "below.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin/python"


def call(python: Path, cwd: Path, *words: str) -> str:
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run([python, *words], cwd=cwd, env=plain, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_wheel_has_every_file_that_the_code_reads(wheel):
    there = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "saev", "pipeline"], cwd=ROOT, capture_output=True, text=True
    )
    assert set(tracked.stdout.split("\n")) - {""} <= there
    assert not any(name.startswith(("tests", "benchmarks", "docs")) for name in there)


@pytest.mark.slow
def test_the_installed_package_trains_an_sae_and_writes_a_page(installed, tmp_path):
    said = call(installed, tmp_path, "-c", "import saev; print(saev.__file__, saev.__version__)")
    assert str(installed.parents[1]) in said and "0.1.0" in said
    script = (
        "import torch\n"
        "from saev.sae import SAE, TopK, load_sae, save_sae\n"
        "sae = SAE(TopK(d_sae=16, k=2), torch.zeros(4), 1.0)\n"
        "save_sae(sae, 'mine')\n"
        "print((load_sae('mine').encode(torch.randn(5, 4)) > 0).sum(1).max().item())\n"
        "from saev.report.page import write_report\n"
        "from importlib.resources import files\n"
        "print(files('saev.report').joinpath('templates/page.html.j2').is_file())\n"
    )
    active, template = call(installed, tmp_path, "-c", script).split()
    assert int(active) <= 2 and template == "True"
