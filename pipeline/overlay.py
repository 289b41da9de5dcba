"""One configuration laid over another: the files that differ, and in each the keys that differ.

A file that the lower one has as well keeps its keys, their order and their comments, so that a study that was
written down once goes on to have every option that is added later.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML  # PyYAML drops comments
from ruamel.yaml.comments import CommentedMap

from saev.files import write_by


def lay_over(conf: Path, above: Path) -> None:
    """Bring every YAML file below `above` into `conf`."""
    for file in sorted(above.rglob("*.yaml")):
        below = conf / file.relative_to(above)
        if below.is_file():
            put(below, _yaml().load(file))
        else:
            below.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, below)


def put(file: Path, changes: Mapping) -> None:
    """Give keys of a YAML file other values; all else stays as it is written."""
    yaml = _yaml()
    content = yaml.load(file)
    _merge(content, changes)
    write_by(lambda place: yaml.dump(content, Path(place)), file)


def _merge(below: CommentedMap, above: Mapping) -> None:
    """Keys of `above` win, section by section, and bring the comments beside and over them."""
    if not isinstance(above, CommentedMap):
        above = CommentedMap(above)  # without comments
    if above.ca.comment:
        below.ca.comment = above.ca.comment
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            _merge(below[key], value)
            continue
        below[key] = value
        if key in above.ca.items:
            below.ca.items[key] = above.ca.items[key]


def _yaml() -> YAML:
    """Reads and writes YAML as it is written here."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 1000, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda of, _: of.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml
