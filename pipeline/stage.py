"""What makes a function a stage: composed from conf/, errors in one line, a closing line."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.keys import NAMED, check_choices, check_configuration, explain
from saev.checks import Options, check_arguments
from saev.errors import SaevError, first_line

Kind = TypeVar("Kind", bound=Options)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def stage(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[..., None]]:
    """Make `main(cfg)` an entry point composed from `<config_name>.yaml` of the study's conf/.

    What a user can put right (a wrong group or value, a missing or damaged file, a full disk) ends in one
    line and exit code 1; anything else keeps its traceback.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[..., None]:
        def quiet(cfg: DictConfig) -> None:
            # Left here by SystemExit: Hydra would announce any other exception in lines of its own.
            with one_line_errors(config_name):
                check_names(cfg)
                check_layer(cfg, config_name)
                check_configuration(cfg, config_name)
                task(cfg)

        def main(cfg: DictConfig | None = None) -> None:
            from saev.machine.allocator import keep_freed_memory

            keep_freed_memory()
            # Hydra prints composition errors over several lines unless told to raise them.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            if "--help" in sys.argv[1:]:
                print(task.__globals__["__doc__"], end="\n\n")
            with one_line_errors(config_name):
                conf = conf_folder(config_name)
                run = hydra.main(config_path=str(conf), config_name=config_name, version_base="1.3")(quiet)
                if cfg is not None:
                    return run(cfg)
                check_choices(sys.argv[1:])
                try:
                    run()
                except HydraException as error:
                    if told := explain(error, config_name, conf, sys.argv[1:]):
                        raise SaevError(told) from None
                    raise

        return main

    return decorate


def conf_folder(config_name: str) -> Path:
    """The conf/ of the study in whose folder we are; elsewhere that of the embedded study, beside this
    package."""
    here = Path("conf")
    return (
        here if (here / f"{config_name}.yaml").is_file() else Path(__file__).parents[1] / "conf"
    ).resolve()


def plain(node: DictConfig) -> dict:
    """The resolved configuration as plain Python values."""
    return cast(dict, OmegaConf.to_container(node, resolve=True))


def read(kind: type[Kind], section: DictConfig | dict) -> Kind:
    """The options of `kind` that a section of the configuration gives.

    Raises:
        SaevError: the section is none, or has keys that `kind` lacks, or lacks some.
    """
    options = plain(section) if isinstance(section, DictConfig) else section
    check_arguments(kind.section, kind, options)
    return kind(**options)


def compose_again(config_name: str, **choices: str) -> DictConfig:
    """This run's configuration with other choices of groups; overrides of the groups chosen anew are left
    out."""
    kept = []
    for override in HydraConfig.get().overrides.task:
        group = override.lstrip("+~").partition("=")[0].partition(".")[0]
        if group not in choices:
            kept.append(override)
    return hydra.compose(
        config_name, overrides=[*kept, *(f"{group}={name}" for group, name in choices.items())]
    )


def typed() -> list[str]:
    """The keys that the command line gives."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [override.lstrip("+").partition("=")[0] for override in overrides]


def given(group: str) -> list[str]:
    """Those of a group, without its name."""
    return [key.removeprefix(f"{group}.") for key in typed() if key.startswith(f"{group}.")]


def check_names(cfg: DictConfig) -> None:
    """Raise SaevError where a group's file bears another name than it gives itself: its results would be
    taken for another cell's. A name given on the command line is meant."""
    if not HydraConfig.initialized():
        return
    for group, choice in HydraConfig.get().runtime.choices.items():
        name = cfg[group].get("name", choice) if group in NAMED and group in cfg else choice
        if name != choice and "name" not in given(group):
            raise SaevError(
                f"conf/{group}/{choice}.yaml: name must be {choice}, as the file is called, got {name!r}"
            )


def check_layer(cfg: DictConfig, config_name: str) -> None:
    """Raise SaevError if the command line chooses a layer for a stage that is the same for all of them."""
    if "sae" not in cfg and "layer" in cfg and "layer" in typed():
        raise SaevError(
            f"layer is no option of {config_name}, which serves all layers (`layers` are what is recorded), "
            f"got {cfg.layer!r}"
        )


@contextmanager
def one_line_errors(config_name: str) -> Iterator[None]:
    try:
        yield
    except (SaevError, HydraException, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt:
        print(f"{config_name}: interrupted; the same command again goes on where it can", file=sys.stderr)
        sys.exit(INTERRUPTED)


def one_line(error: BaseException) -> str:
    """What a user is told of an error."""
    cause = error
    while cause is not None and not isinstance(cause, SaevError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:  # hydra wraps the errors of what it instantiates
        message = str(cause)
    elif isinstance(error, OSError) and error.strerror:
        message = f"{error.filename or Path.cwd()}: {error.strerror}"
    else:
        message, *_ = (str(error) or first_line(error)).partition("Config search path")
    return " ".join(message.split())
