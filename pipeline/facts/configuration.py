"""Configurations as the stages compose them, but without Hydra, which takes too long to import."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from saev.files import read_yaml

CONF = Path("conf")


@cache
def read(file: Path) -> dict:
    """A YAML file. Raises SaevError if it is missing or none."""
    return read_yaml(file)


def compose(file: Path, chosen: dict[str, str]) -> Iterator[dict]:
    """A configuration file and all that its `defaults` take in, with these choices of groups."""
    content = read(file)
    for entry in content.get("defaults", ()):
        for group, choice in entry.items() if isinstance(entry, dict) else [("", entry)]:
            choice = chosen.get(group, choice)
            if choice not in (None, "_self_") and not group.startswith("override "):
                yield from compose(file.parent / group / f"{choice}.yaml", chosen)
    yield {key: value for key, value in content.items() if key != "defaults"}


def strings(value: object) -> Iterator[str]:
    """All strings in a configuration, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from strings(item)


def targets(value: dict | list) -> Iterator[str]:
    """Everything that it names as `_target_`."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if key == "_target_":
            yield item
        elif isinstance(item, dict | list):
            yield from targets(item)
