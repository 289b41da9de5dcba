"""One cell of the study (data x backbone x layer x SAE), each part opened when it is asked for."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from omegaconf import DictConfig, ListConfig

from pipeline.facts.configuration import read as read_yaml
from pipeline.parts import build, check_part
from pipeline.stage import conf_folder, given, plain, read
from saev.checks import Options, check_keys
from saev.errors import SaevError
from saev.machine import Machine

if TYPE_CHECKING:  # torch is loaded by the stages that need it
    from saev.activations import Store, Tokens
    from saev.backbones import Backbone
    from saev.data.sample import ImageDataset
    from saev.features import Codes, Profile
    from saev.sae import SAE, Architecture, Pretrained
    from saev.tasks import Asking, Continuation, Task


TABLE = ("table", "concepts", "cluster", "covariates")
"""Keys of conf/data that are not for the source, but for what is known of its images beside it."""


@dataclass(frozen=True, kw_only=True)
class Reading(Options, section="sae"):
    """Which tokens an SAE reads."""

    tokens: tuple[Literal["cls", "register", "patch", "meanpool"], ...] = ("patch",)


class Cell:
    """A cell, as `cfg` names its parts and their places.

    Raises:
        SaevError: an option of a part is unknown, missing or wrong. No file is read to know.
    """

    def __init__(self, cfg: DictConfig):
        from saev.data.table import Table

        self.cfg = cfg
        shared = self._options("data")
        splits = shared.pop("splits", None)
        self.table = read(Table, {key: shared.pop(key) for key in TABLE if key in shared})
        check_keys("data.splits", splits, dict.fromkeys(cfg.acts, True))
        check_part("data", shared, "data", whole=False)
        for split in splits:
            check_part("data", *self._of_split(split))
        check_part("backbone", self._options("backbone"), "backbone")
        if "sae" in cfg:
            check_sae(plain(cfg.sae))
        if "task" in cfg:
            check_part("task", self._options("task"), "task")
        if "machine" in cfg:
            read(Machine, cfg.machine)

    def _options(self, group: str) -> dict:
        return of_part(plain(self.cfg[group]))

    def _of_split(self, split: str) -> tuple[dict, str]:
        """The options of a split's images, and what their names begin with."""
        options = {key: value for key, value in self._options("data").items() if key not in TABLE}
        own = options.pop("splits")[split]
        if not isinstance(own, dict):
            raise SaevError(f"data.splits.{split} must be a section of options, got {own!r}")
        return options | own, f"data.splits.{split}"

    @cache  # noqa: B019 (a cell lives as long as its process)
    def images(self, split: str) -> "ImageDataset":
        """The images of a split, from their source, with what a table says of them."""
        return self.table.describe(build("data", *self._of_split(split)))

    @cache  # noqa: B019 (as above)
    def store(self, split: str) -> "Store":
        """The activations of a split."""
        from saev.activations import Store

        store = Store(self.cfg.acts[split])
        if store.split not in (None, split):  # the two exchanged would swap choosing and measuring
            raise SaevError(f"acts.{split}: {store.path} holds the split {store.split!r}")
        return store

    def tokens(self, split: str) -> "Tokens":
        """Those that the SAE reads."""
        return self.store(split).tokens(self.cfg.layer, check_sae(plain(self.cfg.sae)))

    @cached_property
    def backbone(self) -> "Backbone":
        return build("backbone", self._options("backbone"), "backbone")

    @cached_property
    def machine(self) -> "Machine":
        return read(Machine, self.cfg.machine)

    @cached_property
    def architecture(self) -> "Architecture | Pretrained":
        """What is trained, or taken as it is."""
        return build("sae", self._options("sae"), "sae")

    @cached_property
    def sae(self) -> "SAE":
        """What was trained."""
        from saev.sae import load_sae

        sae = load_sae(self.cfg.sae_dir)
        for key in given("sae"):
            asked, found = self.cfg.sae[key], getattr(sae.architecture, key, None)
            asked = tuple(asked) if isinstance(asked, ListConfig) else asked
            if key not in ("name", "tokens", "_target_") and asked != found:
                raise SaevError(f"sae.{key} is {asked!r}, but {self.cfg.sae_dir} was trained with {found!r}")
        return sae

    @cached_property
    def floors(self) -> "dict[str, SAE]":
        """What it must beat, by name."""
        from saev.files import read_json
        from saev.sae import load_sae

        folder = Path(self.cfg.floors_dir)
        of = read_json(folder / "floors.json", "floors stage")
        if of["sae"] != self.sae.digest():
            whose = f"the floors of SAE {of['sae']}, not of {self.cfg.sae_dir}, {self.sae.digest()}"
            raise SaevError(f"{folder}: {whose}; run the floors stage again")
        return {name: load_sae(folder / name) for name in of["floors"]}

    @property
    def seeds(self) -> list[str]:
        """Those of its floors that differ from it in their seed alone: no floors of what it has learnt, but
        what tells how much of that is chance."""
        return [name for name in self.floors if name.startswith("seed-")]

    @cached_property
    def profile(self) -> "Profile":
        """What each of its latents is like on the training split."""
        from saev.features import load_profile

        return load_profile(Path(self.cfg.codes, "latents.safetensors"), self.sae)

    @cache  # noqa: B019 (as above)
    def codes(self, split: str) -> "Codes":
        """Of the SAE, on a split."""
        from saev.features import load_codes

        return load_codes(Path(self.cfg.codes, f"{split}.safetensors"), self.tokens(split), self.sae)

    @cached_property
    def asking(self) -> "Asking":
        """What the model is to be asked, before it is fitted to anything."""
        return build("task", self._options("task"), "task")

    @cached_property
    def task(self) -> "Task | None":
        """What the model is asked; None where labels of two classes were not to be had."""
        from saev.tasks import load_task

        return load_task(self.cfg.head_dir, self.store("train"))

    @cached_property
    def concept_task(self) -> "Task | None":
        """Whether it takes a unit to show each of the concepts; None where none are described."""
        from saev.tasks import load_task

        return load_task(f"{self.cfg.head_dir}/concepts", self.store("train"))

    def opened(self, n_images: int, seed: int, task: "Task", split: str = "val") -> "Continuation":
        """The model, asked a task, from the layer on, on images of a split spread over the
        classes."""
        from saev.tasks import Continuation

        tokens = self.tokens(split)
        tokens.store.check_backbone(self.backbone)
        images = tokens.store.drawn(n_images, seed)
        return Continuation.from_store(self.backbone, task, tokens.store, tokens.layer, images, self.machine)

    def results(self, stage: str) -> Path:
        """The folder of a stage's results."""
        return Path(self.cfg.results[stage])


def of_part(options: dict) -> dict:
    """The options of a part, without what is not for itself."""
    return {key: value for key, value in options.items() if key not in ("name", "tokens")}


def check_sae(options: dict) -> tuple[str, ...]:
    """The tokens that an SAE of these options reads. Raises SaevError for options that no SAE can have."""
    check_part("sae", of_part(options), "sae")
    return read(Reading, {key: value for key, value in options.items() if key == "tokens"}).tokens


def grid(conf: Path | None = None) -> dict[str, list]:
    """The study: its data, backbones, layers and saes, of the study.yaml in `conf`, or of the study in whose
    folder we are.

    Raises:
        SaevError: one of them is not a list of different values.
    """
    file = (conf or conf_folder("study")) / "study.yaml"
    study = read_yaml(file).get("study") or {}
    for key in ("data", "backbones", "layers", "saes"):
        values = study.get(key)
        if not isinstance(values, list) or not values or len(set(map(str, values))) < len(values):
            raise SaevError(f"{file}: study.{key} must be a list of different values, got {values!r}")
    return study
