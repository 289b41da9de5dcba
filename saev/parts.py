"""Parts of saev that a configuration names by `_target_`: one of somebody else's names no other code."""

import inspect
from collections.abc import Callable
from pkgutil import resolve_name


def find(target: object, package: str) -> Callable | None:
    """The class or function of this name that is defined in the package, not only imported there; None where
    there is none, whatever `target` is."""
    if not isinstance(target, str) or not target.startswith(f"{package}."):
        return None
    if any(not word.isidentifier() or word.startswith("_") for word in target.split(".")):
        return None
    try:
        part = resolve_name(target)
    except (ImportError, ValueError, AttributeError):
        return None
    whole = inspect.isclass(part) or inspect.isfunction(part)
    return part if whole and part.__module__.startswith(f"{package}.") else None
