"""A sweep: an SAE of the study for every combination of values, named after them, through all stages.

    python -m pipeline.sweep -m sae=topk,batchtopk sae.k=16,32,64

writes conf/sae/topk-k16.yaml and so on, lists them in conf/study.yaml, and runs `dvc repro`. Those that read
the same tokens are trained on one stream, what the study has already is not made again, and `dvc metrics
show` compares them.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline.cell import check_sae, grid
from pipeline.stage import conf_folder, one_line_errors
from saev.errors import SaevError
from saev.files import write_text


def main(words: list[str]) -> int:
    """Add the members of the sweep to the study and run it; returns DVC's exit code."""
    if "--help" in words:
        print(__doc__)
        return 0
    folder = conf_folder("study")
    members = dict(expand([word for word in words if word not in ("-m", "--multirun")], folder / "sae"))
    study = grid()
    for name, options in members.items():
        check_sae(options)  # a wrong value is told before anything is written
        file = folder / "sae" / f"{name}.yaml"
        if file.exists() and yaml.safe_load(file.read_text(encoding="utf-8")) != options:
            raise SaevError(f"{file}: is there already, with other options; delete it, or sweep over others")
    for name, options in members.items():
        write_text(folder / "sae" / f"{name}.yaml", yaml.safe_dump(options, sort_keys=False))
    study["saes"] = list(dict.fromkeys([*study["saes"], *members]))
    write_text(
        folder / "study.yaml", yaml.safe_dump({"study": study}, sort_keys=False, default_flow_style=None)
    )
    print(f"sweep: {', '.join(members)} in {folder / 'study.yaml'}", file=sys.stderr, flush=True)
    return subprocess.run([sys.executable, "-m", "dvc", "repro"]).returncode


def expand(words: list[str], folder: Path) -> Iterator[tuple[str, dict]]:
    """(name, options) of every member, from Hydra's overrides of the group `sae` and of its keys."""
    bases, values = ["topk"], {}
    for override in OverridesParser.create().parse_overrides(words):
        key = override.key_or_group
        chosen = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
        if key == "sae":
            bases = chosen
        elif key.startswith("sae.") and key != "sae.name":
            values[key.removeprefix("sae.")] = chosen
        else:
            raise SaevError(
                f"a sweep is over sae and sae.<option>, got {key}; conf/study.yaml lists the rest, "
                "and names come of the values"
            )
    for base in bases:
        file = folder / f"{base}.yaml"
        if not file.is_file():
            there = ", ".join(sorted(other.stem for other in folder.glob("*.yaml")))
            raise SaevError(f"{file}: no such file; there are {there}")
        options = yaml.safe_load(file.read_text(encoding="utf-8"))
        for combination in product(*values.values()):
            changes = dict(zip(values, combination, strict=True))
            told = "".join(f"-{key}{value}" for key, value in changes.items() if len(values[key]) > 1)
            name = str(base) + re.sub(r"[^\w-]+", "_", told)  # dots would part the keys of facts.json
            yield name, {**options, **changes, "name": name}


if __name__ == "__main__":
    with one_line_errors("sweep"):
        sys.exit(main(sys.argv[1:]))
