"""One cell of the study (data x backbone x layer x SAE), each part opened when it is asked for."""

from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import instantiate
from omegaconf import DictConfig

from pipeline.facts.configuration import read as read_yaml
from pipeline.stage import conf_folder, plain, read
from saev.errors import SaevError

if TYPE_CHECKING:  # torch is loaded by the stages that need it
    from saev.activations import Store, Tokens
    from saev.backbones import Backbone
    from saev.data.sample import ImageDataset
    from saev.features import Codes
    from saev.machine import Machine
    from saev.sae import SAE, Architecture
    from saev.tasks import Continuation, Task

OURS = ("saev.data.", "saev.backbones.", "saev.sae.")
"""A configuration, which may be somebody else's, names code of these packages only."""


class Cell:
    """A cell, as `cfg` names its parts and their places."""

    def __init__(self, cfg: DictConfig):
        self.cfg = cfg

    def images(self, split: str) -> "ImageDataset":
        """The images of a split, from their source."""
        return build(self.cfg.data, "splits", **plain(self.cfg.data.splits[split]))

    @cache  # noqa: B019 (a cell lives as long as its process)
    def store(self, split: str) -> "Store":
        """The activations of a split."""
        from saev.activations import Store

        store = Store(self.cfg.acts[split])
        if store.split not in (None, split):  # the two exchanged would swap choosing and measuring
            raise SaevError(f"acts.{split}: {store.path} holds the split {store.split!r}")
        return store

    def tokens(self, split: str) -> "Tokens":
        """Those that the SAE reads."""
        return self.store(split).tokens(self.cfg.layer, tuple(self.cfg.sae.get("tokens", ["patch"])))

    @cached_property
    def backbone(self) -> "Backbone":
        return build(self.cfg.backbone)

    @cached_property
    def machine(self) -> "Machine":
        from saev.machine import Machine

        return read(Machine, self.cfg.machine)

    @cached_property
    def architecture(self) -> "Architecture":
        """What is trained."""
        return build(self.cfg.sae, "tokens")

    @cached_property
    def sae(self) -> "SAE":
        """What was trained."""
        from saev.sae import load_sae

        return load_sae(self.cfg.sae_dir)

    @cache  # noqa: B019 (as above)
    def codes(self, split: str) -> "Codes":
        """Of the SAE, on a split."""
        from saev.features import load_codes

        return load_codes(Path(self.cfg.codes, f"{split}.safetensors"), self.tokens(split), self.sae)

    @cached_property
    def task(self) -> "Task | None":
        """What the model is asked; None where labels of two classes were not to be had."""
        from saev.tasks import load_task

        return load_task(self.cfg.head_dir, self.store("train"))

    def opened(self, n_images: int, seed: int) -> "Continuation":
        """The model, asked its task, from the layer on, on validation images spread over the classes."""
        from saev.tasks import Continuation

        tokens = self.tokens("val")
        tokens.store.check_backbone(self.backbone)
        images = tokens.store.drawn(n_images, seed)
        return Continuation.from_store(
            self.backbone, self.task, tokens.store, tokens.layer, images, self.machine
        )

    def results(self, stage: str) -> Path:
        """The folder of a stage's results."""
        return Path(self.cfg.results[stage])


def build(node: DictConfig, *without: str, **extra: object) -> object:
    """Instantiate a group's `_target_` with its options; `name` and the keys in `without` are not for it.

    Raises:
        SaevError: the target is none of saev's, or an option names code.
    """
    options = plain(node) | extra
    target = options.get("_target_")
    if not isinstance(target, str) or not target.startswith(OURS):
        raise SaevError(f"_target_ must be one of {', '.join(f'{ours}*' for ours in OURS)}, got {target!r}")
    for key in ("name", *without):
        options.pop(key, None)
    if nested := [key for key, value in options.items() if "_target_" in repr(value) and key != "_target_"]:
        raise SaevError(f"{nested[0]}: an option cannot name code, got {options[nested[0]]!r}")
    return instantiate(options, _convert_="all")


def grid() -> dict[str, list]:
    """The study: its data, backbones, layers and saes, of conf/study.yaml.

    Raises:
        SaevError: one of them is not a list of different values.
    """
    file = conf_folder("study") / "study.yaml"
    study = read_yaml(file).get("study") or {}
    for key in ("data", "backbones", "layers", "saes"):
        values = study.get(key)
        if not isinstance(values, list) or not values or len(set(map(str, values))) < len(values):
            raise SaevError(f"{file}: study.{key} must be a list of different values, got {values!r}")
    return study
