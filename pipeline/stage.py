"""The stages: each composes its configuration, calls saev, and writes files and metrics."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saev.errors import SaevError

CONF = Path(__file__).parents[1] / "conf"


def stage(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[..., None]]:
    """Make `main(cfg)` an entry point composed from `conf/<config_name>.yaml`.

    What a user can put right (a wrong group or value, a missing or damaged file, a full
    disk) ends in one line and exit code 1; anything else keeps its traceback.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[..., None]:
        def quiet(cfg: DictConfig) -> None:
            # Left here by SystemExit: Hydra would announce any other exception in lines of its own.
            with _one_line_errors():
                task(cfg)

        def main(cfg: DictConfig | None = None) -> None:
            from saev.machine.allocator import keep_freed_memory

            keep_freed_memory()
            # Hydra prints composition errors over several lines unless told to raise them.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            with _one_line_errors():
                run = hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")(quiet)
                run() if cfg is None else run(cfg)

        return main

    return decorate


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (SaevError, HydraException, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {_one_line(error)}")


def build(node: DictConfig, *without: str, **extra: object) -> object:
    """Instantiate a group's `_target_` with its options, `name` and the keys in `without` left out."""
    options = plain(node)
    for key in ("name", *without):
        options.pop(key, None)
    return instantiate(options, _convert_="all", **extra)


def compose_again(config_name: str, **choices: str) -> DictConfig:
    """This run's configuration with other choices of groups; overrides of the groups chosen anew are left out."""
    from hydra.core.hydra_config import HydraConfig

    kept = [
        o
        for o in HydraConfig.get().overrides.task
        if o.lstrip("+~").partition("=")[0].partition(".")[0] not in choices
    ]
    return hydra.compose(
        config_name, overrides=[*kept, *(f"{group}={name}" for group, name in choices.items())]
    )


def plain(node: DictConfig) -> dict:
    """The resolved configuration as plain Python values."""
    return OmegaConf.to_container(node, resolve=True)


def machine(cfg: DictConfig) -> dict:
    """Precision and device of the backbone in a stage that uses one device."""
    from saev.machine.machine import pick_device

    return {"precision": cfg.machine.precision, "device": pick_device(cfg.machine.accelerator)}


def launch(cfg: DictConfig) -> object:
    """Start the other processes of a stage that uses several devices; return this one's torch device."""
    import logging

    from lightning.fabric import Fabric

    from saev.errors import SaevError

    for name in (
        "lightning.fabric",
        "lightning.fabric.utilities.rank_zero",
        "lightning_utilities.core.rank_zero",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)  # they announce every process
    try:
        fabric = Fabric(**places(cfg))
    except Exception as error:  # Lightning's and torch's own, on devices that are not there
        raise SaevError(f"machine: {places(cfg)} cannot be had: {str(error).splitlines()[0]}") from None
    fabric.launch()
    return fabric.device


def places(cfg: DictConfig) -> dict:
    """Lightning's accelerator, devices and num_nodes, of a stage that uses several."""
    return {key: cfg.machine[key] for key in ("accelerator", "devices", "num_nodes")}


def rich_progress() -> bool:
    """Whether somebody is watching."""
    return sys.stderr.isatty()


def _one_line(error: BaseException) -> str:
    cause = error
    while cause is not None and not isinstance(cause, SaevError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:  # hydra wraps the errors of what it instantiates
        return str(cause)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or Path.cwd()}: {error.strerror}"
    message, *_ = str(error).partition("Config search path")
    return " ".join(message.split())
