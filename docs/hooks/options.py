"""What the code says of its options: what they must be, their defaults, and what they mean."""

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import NamedTuple, get_args, get_type_hints

import griffe

import pipeline
from saev.checks import Options, expected

ROOT = Path(__file__).parents[2]


class Key(NamedTuple):
    name: str
    kind: str
    """What it must be, in the words of the message that a wrong value gets."""
    default: object
    """`...`: there is none."""
    meaning: str


def options_of(call: Callable, prefix: str) -> list[Key]:
    """The options that a dataclass, a class or a function takes."""
    if inspect.isclass(call) and issubclass(call, Options):
        hints = get_type_hints(call, include_extras=True)
        found = [(field.name, hints[field.name], _default(field)) for field in fields(call)]
    else:
        hints = get_type_hints(call.__init__ if inspect.isclass(call) else call, include_extras=True)
        parameters = inspect.signature(call).parameters.items()
        found = [(name, hints[name], ... if p.default is p.empty else p.default) for name, p in parameters]
    told = meanings(call)
    return [Key(prefix + name, kind_of(hint), default, told.get(name, "")) for name, hint, default in found]


def _default(field: Field) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return ... if field.default is MISSING else field.default


def meanings(call: Callable) -> dict[str, str]:
    """What docstrings say of each option: that below a field, or the `Args` of a class or a function."""
    told: dict[str, str] = {}
    for of in reversed(inspect.getmro(call)) if inspect.isclass(call) else (call,):
        if of.__module__.partition(".")[0] not in ("saev", "pipeline"):
            continue
        package, _, name = f"{of.__module__}.{of.__qualname__}".partition(".")
        documented = _code(package)[name]
        for name, member in documented.members.items():
            if member.is_attribute and member.docstring:
                told[name] = member.docstring.value
        for section in documented.docstring.parse("google") if documented.docstring else ():
            if section.kind is griffe.DocstringSectionKind.parameters:
                told |= {parameter.name: parameter.description for parameter in section.value}
    return told


@cache
def _code(package: str) -> griffe.Module:
    return griffe.load(package, search_paths=[ROOT])


@cache
def sections() -> dict[str, type[Options]]:
    """The dataclass of each section that a stage reads."""
    for module in pkgutil.iter_modules(pipeline.__path__):
        if not module.ispkg:
            import_module(f"pipeline.{module.name}")
    from saev.activations import Recording  # noqa: F401 (that it is among the subclasses)
    from saev.atlas import AtlasOptions  # noqa: F401
    from saev.intervention import Arm, Illustration  # noqa: F401
    from saev.intervention.twin_edits import TwinOptions  # noqa: F401
    from saev.tasks import TaskOptions  # noqa: F401
    from saev.training import Training  # noqa: F401

    ours = (kind for kind in Options.__subclasses__() if kind.__module__.startswith(("saev.", "pipeline.")))
    return {kind.section: kind for kind in ours if kind.section}


def kind_of(hint: object) -> str:
    """What a value must be; what is checked by the stage itself bears the name of its type."""
    if isinstance(hint, str):
        return hint
    try:
        words = expected(hint)
    except TypeError:
        words = str(getattr(hint, "__name__", hint))
    return f"{words}, or null" if NoneType in get_args(hint) else words
