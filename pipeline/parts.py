"""The parts of a cell that a group's file names by `_target_`: found, checked, and built."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from saev.checks import check_arguments
from saev.errors import SaevError
from saev.parts import find

PACKAGES = {
    "data": "saev.data",
    "backbone": "saev.backbones",
    "sae": "saev.sae",
    "task": "saev.tasks",
}
"""Where the parts of each group are defined: a configuration, which may be somebody else's, names no other
code."""
KINDS = {
    "data": "a source of images",
    "backbone": "a function that returns a Backbone",
    "sae": "an architecture",
    "task": "a kind of task",
}


def build(group: str, options: dict, section: str) -> Any:
    """The part of a `group` with these options, whose names in messages begin with `section`.

    Raises:
        SaevError: as `check_part` does, or as the part itself does.
    """
    return check_part(group, options, section)(**_arguments(options))


def check_part(group: str, options: dict, section: str, *, whole: bool = True) -> Callable:
    """What `_target_` names, if these are options for it, and all that it needs unless others come from
    elsewhere (not `whole`); no file of the user's is read to know.

    Raises:
        SaevError: `_target_` names none of saev's own parts of the group, or an option is unknown, missing or
            wrong.
    """
    target = options.get("_target_")
    part = find(target, PACKAGES[group])
    if part is None or not _fits(group, part):
        raise SaevError(f"{group}._target_ must be {KINDS[group]} in {PACKAGES[group]}, got {target!r}")
    check_arguments(section, part, _arguments(options), whole=whole)
    return part


def _arguments(options: dict) -> dict:
    return {key: value for key, value in options.items() if key != "_target_"}


def _fits(group: str, part: Callable) -> bool:
    """Whether it is what the group is made of."""
    if group == "data":
        return inspect.isclass(part) and hasattr(part, "__getitem__") and hasattr(part, "name")
    if group == "backbone":
        from saev.backbones import Backbone

        made = get_type_hints(part).get("return") if inspect.isfunction(part) else None
        return inspect.isclass(made) and issubclass(made, Backbone)
    if group == "task":
        return inspect.isclass(part) and hasattr(part, "fit") and hasattr(part, "ignore")
    from saev.sae import Architecture, Pretrained

    return inspect.isclass(part) and issubclass(part, (Architecture, Pretrained))
