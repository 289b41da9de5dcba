"""The keys that a stage's configuration has, against those that somebody gave."""

import re
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from pipeline.facts.configuration import read as read_yaml
from saev.checks import check_int, check_keys, check_name, check_path
from saev.errors import SaevError

HOME = Path(__file__).parents[1] / "conf"
"""The configuration that comes with the code, and so has the keys that the code reads."""
NAMED = ("data", "backbone", "sae")
"""Groups whose files give themselves a name, of which those of the results are made."""
NAMES = ("store", "cell")
"""Keys of conf/paths.yaml that are no places, but parts of their names."""


def check_choices(words: list[str]) -> None:
    """Raise SaevError if the command line makes no choice, or several, of a group: Hydra would mix them."""
    for word in words:
        group, equals, _ = word.partition("=")
        if equals and (HOME / group).is_dir() and group.isidentifier():
            override = OverridesParser.create().parse_override(word)
            if not override.is_sweep_override() and not isinstance(value := override.value(), str):
                there = ", ".join(sorted(file.stem for file in (HOME / group).glob("*.yaml")))
                raise SaevError(f"{group} must be one file of conf/{group}, such as {there}; got {value!r}")


def check_configuration(cfg: DictConfig, config_name: str) -> None:
    """Raise SaevError for a key that the stage does not know, for one that is missing, for parts that have no
    name, and for places that are none."""
    composed: Any = OmegaConf.to_container(cfg)
    own = read_yaml(HOME / f"{config_name}.yaml")
    known = {key: None for key in own if key != "defaults"}
    for entry in own["defaults"]:
        if entry == "paths":
            known |= read_yaml(HOME / "paths.yaml")
        elif isinstance(entry, dict) and "hydra" not in entry:
            known |= {group: {} for group in entry}
    if unknown := composed.keys() - known.keys():
        raise SaevError(f"{min(unknown)} is no option of {config_name}; there are {', '.join(known)}")
    for key, value in known.items():
        if key not in composed:
            raise SaevError(f"{key} is missing")
        if isinstance(value, dict) and not isinstance(composed[key], dict):
            raise SaevError(f"{key} must be a section, got {composed[key]!r}")
    for group in NAMED:
        if group in known:
            if "name" not in composed[group]:
                raise SaevError(f"{group}.name is missing")
            check_name(f"{group}.name", composed[group]["name"])
    if "cell" in known:
        _check_places(cfg, known)


def _check_places(cfg: DictConfig, known: dict) -> None:
    """That there is a layer, and that every output has a place that is no other's."""
    check_int("layer", cfg.layer, low=-1000, high=999)
    check_keys("results", OmegaConf.to_container(cfg.results), dict.fromkeys(known["results"], True))
    check_keys("acts", OmegaConf.to_container(cfg.acts), dict.fromkeys([*known["acts"], *cfg.acts], True))
    several = (f"{key}.{of}" for key in ("acts", "results") for of in cfg[key])
    single = (key for key, value in known.items() if isinstance(value, str) and key not in NAMES)
    outputs = [*single, *several]
    taken: dict[Path, str] = {}
    for key in (*NAMES, *outputs):
        try:
            place = OmegaConf.select(cfg, key)
        except InterpolationKeyError:  # of a stage that composes no SAE, and leaves nothing there
            continue
        check_path(key, place)
        if key in outputs:
            path = Path(place).absolute()
            for other, of in taken.items():
                if path == other or path in other.parents or other in path.parents:
                    raise SaevError(f"{key} must be a place of its own, got {place!r}, where {of} is")
            taken[path] = key


def explain(error: Exception, config_name: str, conf: Path, words: list[str]) -> str | None:
    """Hydra's answer to an unknown key, with the keys that there are in the place of its advice to append
    one; None if it is no such answer."""
    found = re.match(r"Could not (?:override|delete from config\.) '([^']+)'", str(error))
    if found is None:
        return None
    section, _, _ = found.group(1).rpartition(".")
    chosen = [word for word in words if (HOME / word.partition("=")[0]).is_dir() and "=" in word]
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            cfg = compose(config_name, chosen)
    except HydraException:
        return None
    there = OmegaConf.select(cfg, section) if section else cfg
    if not isinstance(there, DictConfig):
        return f"{found.group(1)} is no option: {section} is no section"
    return f"{found.group(1)} is no option; there are {', '.join(map(str, there))}"
