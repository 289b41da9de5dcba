"""A study by its folder: conf/ says what its cells are and where they lie, as it says to the pipeline."""

import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

from saev.activations import Store
from saev.atlas import StoredCodes
from saev.backbones.backbone import Backbone
from saev.checks import check_arguments, check_keys
from saev.data import ImageDataset
from saev.data.table import Table
from saev.errors import SaevError
from saev.features import load_profile
from saev.files import read_yaml
from saev.machine import Machine
from saev.parts import find
from saev.sae import load_sae
from saev.study.cell import Cell
from saev.study.evidence import read_evidence
from saev.tasks import Task, load_task

AXES = ("data", "backbones", "layers", "saes")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def open_study(folder: str | Path = ".", machine: Machine | None = None) -> "Study":
    """The finished cells of the study in a folder.

    Args:
        machine: where and how to run the models; that of its conf/machine/default.yaml if left out.

    Raises:
        SaevError: there is no conf/, or no cell is finished.
    """
    return Study(folder, machine)


class Study:
    """The finished cells of a study by name; each is opened when it is first asked for.

    Attributes:
        cells: their names.
    """

    def __init__(self, folder: str | Path, machine: Machine | None = None):
        self.folder, self.conf = Path(folder), Path(folder, "conf")
        self.machine = machine or Machine(**read_yaml(self.conf / "machine" / "default.yaml"))
        grid, spelled = read_yaml(self.conf / "study.yaml").get("study"), read_yaml(self.conf / "paths.yaml")
        if not isinstance(grid, Mapping) or not all(isinstance(grid.get(axis), list) for axis in AXES):
            raise SaevError(f"{self.conf / 'study.yaml'}: study must hold the lists {', '.join(AXES)}")
        self._parts: dict[str, dict] = {}
        self._places: dict[str, dict] = {}
        for data, backbone, layer, sae in product(*(grid[axis] for axis in AXES)):
            known = {"data.name": data, "backbone.name": backbone, "sae.name": sae, "layer": layer}
            place = {key: _filled(value, spelled | known) for key, value in spelled.items()}
            if self._finished(place):
                self._parts[place["cell"]] = {"data": data, "backbone": backbone, "layer": layer, "sae": sae}
                self._places[place["cell"]] = place
        if not self._parts:
            raise SaevError(
                f"{self.folder}: no cell of conf/study.yaml is finished; run make study, or dvc repro"
            )
        self._open: dict[str, Cell] = {}
        self._backbones: dict[str, Backbone] = {}

    @property
    def cells(self) -> list[str]:
        return list(self._parts)

    def __repr__(self) -> str:
        return f"Study({self.folder}: {', '.join(self.cells)})"

    def _ipython_key_completions_(self) -> list[str]:
        return self.cells

    def __getitem__(self, name: str) -> Cell:
        """A cell.

        Raises:
            SaevError: there is none of this name; a file of it is missing, damaged, or does not belong to the
                others; conf/ describes another model or other images than were recorded.
        """
        if name not in self._parts:
            raise SaevError(f"the finished cells are {', '.join(self.cells)}, got {name!r}")
        if name not in self._open:
            self._open[name] = self._opened(name)
        return self._open[name]

    def _opened(self, name: str) -> Cell:
        parts, place = self._parts[name], self._places[name]
        sae_dir, codes = self.folder / place["sae_dir"], self.folder / place["codes"]
        sae = load_sae(sae_dir).requires_grad_(False)
        store = Store(self.folder / place["acts"]["train"])
        kinds = read_yaml(self.conf / "sae" / f"{parts['sae']}.yaml").get("tokens", ("patch",))
        tokens = store.tokens(parts["layer"], kinds)
        sae.check_tokens(tokens, str(sae_dir))
        heads = {"classes": place["head_dir"], "concepts": f"{place['head_dir']}/concepts"}
        there = {name: self.folder / head for name, head in heads.items() if (self.folder / head).is_dir()}
        tasks = {name: load_task(head, store) for name, head in there.items()}
        return Cell(
            name=name,
            sae=sae,
            backbone=self._backbone(parts["backbone"], store),
            tokens=tokens,
            codes=StoredCodes(codes / "train.safetensors", sae.digest()),
            profile=load_profile(codes / "latents.safetensors", sae),
            images=self._images(parts["data"], store),
            machine=self.machine,
            told=read_evidence(self.folder, name),
            tasks={name: task for name, task in tasks.items() if isinstance(task, Task)},
        )

    def _finished(self, place: dict) -> bool:
        """Whether the stages have run whose files are needed here."""
        needed = (place["acts"]["train"], place["sae_dir"], place["codes"])
        return all(Path(self.folder, of).is_dir() for of in needed)

    def _backbone(self, name: str, store: Store) -> Backbone:
        if name not in self._backbones:
            options = read_yaml(self.conf / "backbone" / f"{name}.yaml")
            self._backbones[name] = _build("backbone", "saev.backbones", options)
        store.check_backbone(self._backbones[name])
        return self._backbones[name]

    def _images(self, name: str, store: Store) -> ImageDataset:
        """Those of training."""
        options = read_yaml(self.conf / "data" / f"{name}.yaml")
        described = {of.name: options.pop(of.name) for of in fields(Table) if of.name in options}
        splits = options.pop("splits", None)
        check_keys("data.splits", splits, {"train": True, **dict.fromkeys(splits or (), False)})
        images = Table(**described).describe(_build("data", "saev.data", options | splits["train"]))
        if images.fingerprint != store.attrs["data"]:
            file = self.conf / "data" / f"{name}.yaml"
            raise SaevError(
                f"{store.path}: recorded from other images than {file} names now; record it again"
            )
        return images


def _filled(value: object, known: Mapping[str, object]) -> Any:
    """A value of conf/paths.yaml with what it refers to in the place of `${...}`."""
    if isinstance(value, Mapping):
        return {key: _filled(of, known) for key, of in value.items()}

    def referred(found: re.Match) -> str:
        if found[1] not in known:
            raise SaevError(f"conf/paths.yaml: {found[0]} refers to nothing")
        return str(_filled(known[found[1]], known))

    return _REFERENCE.sub(referred, str(value))


def _build(group: str, package: str, options: dict) -> Any:
    """What a group's file names by `_target_`, made of its options. Raises SaevError if it names none."""
    part = find(options.get("_target_"), package)
    if part is None:
        raise SaevError(f"{group}._target_ must name a part in {package}, got {options.get('_target_')!r}")
    arguments = {key: value for key, value in options.items() if key not in ("_target_", "name")}
    check_arguments(group, part, arguments)
    return part(**arguments)
