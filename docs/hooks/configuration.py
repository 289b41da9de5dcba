"""The page of all keys of conf/: their defaults, what they must be, and what they mean."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated

import yaml

from docs.hooks.comments import Comments
from docs.hooks.options import ROOT, Key, kind_of, options_of, sections
from saev.checks import above, between

CONF = ROOT / "conf"
GROUPS = {"data": "Images", "backbone": "Backbones", "sae": "SAEs", "task": "What the model is asked"}
"""Groups whose files choose a part of saev by `_target_`."""
SECTIONS = {"trainer": "How SAEs are trained", "machine": "Where to run"}
"""Groups whose files are a section of options."""
LOOSE: dict[str, tuple[object, str]] = {
    "seed": (Annotated[int, between(0, 2**32 - 1)], "of all that is drawn at random"),
    "layers": (tuple[int, ...] | None, ""),
    "together": ("a list of files of conf/sae, or study", ""),
    "floors": ("auto, or a list of floors", ""),
    "store": ("a path", ""),
    "folder": ("a path", ""),
    "ledger": ("a path", ""),
    "notes": ("a path", ""),
    "out": ("a path", ""),
    "margin": (Annotated[float, above(0)], ""),
    "port": (Annotated[int, between(0, 65535)], ""),
    "study": ("a folder of conf/studies, or null", ""),
    "hardware": ("a path, or null", ""),
    "l0": (Annotated[int, above(0)], ""),
    "latents": (Annotated[int, above(0)], ""),
    "images": ("{data set: {split: how many}}", ""),
    "shapes": ("{backbone: model}", ""),
    "layer": (int, ""),
    "study.data": (tuple[str, ...], "files of conf/data"),
    "study.backbones": (tuple[str, ...], "files of conf/backbone"),
    "study.untrained": (tuple[str, ...], ""),
    "study.layers": (tuple[int, ...], "0-based blocks, negative from the end; one recording serves all"),
    "study.saes": (tuple[str, ...], "files of conf/sae"),
    "study.trainer": (str, ""),
}
"""Keys that belong to no section of options: what they must be, and what they mean if conf/ does not say."""


def page() -> str:
    """docs/configuration.md."""
    parts = ["# Configuration", HEAD, *_stages(), *_group_sections(), *_parts(), *_predictions(), _places()]
    return "\n\n".join(parts) + "\n"


HEAD = """Every key of `conf/`, from its files and from the code that checks them. On the command line a key
is `python -m pipeline.probe probe.exemplars=3`, one that its file does not list `+sae.optimizer=muon`, and
another file of a group `sae=relu`. In a study edit the files: DVC reruns what they change. A value that is
not what the second column says is refused in one line."""


def _stages() -> Iterator[str]:
    """A table for each stage that has keys of its own."""
    order = ["study", *_read(ROOT / "dvc.yaml")["stages"]]
    place = {name: number for number, name in enumerate(order)}
    for file in sorted(CONF.glob("*.yaml"), key=lambda file: (place.get(file.stem, len(place)), file.stem)):
        if file.stem == "paths":
            continue
        own, comments = _read(file), Comments(file)
        keys = [key for name in own if name != "defaults" for key in _keys(name, own[name], comments)]
        groups = [name for entry in own.get("defaults", []) if isinstance(entry, dict) for name in entry]
        links = ", ".join(f"[{group}](#group-{group})" for group in groups if group != "hydra")
        beside = f"Beside these: {links}." if links else ""
        title = f"## {file.stem}" if file.stem != "study" else "## study: the grid"
        yield "\n\n".join(part for part in (title, comments.intro, _table(keys), beside) if part)


def _group_sections() -> Iterator[str]:
    """A table for each group that is a section; what its other files change is said below."""
    for group, title in SECTIONS.items():
        default = CONF / group / "default.yaml"
        keys = _section(group, _read(default), Comments(default))
        others = (file for file in sorted((CONF / group).glob("*.yaml")) if file != default)
        rest = "\n".join(_file(file, _read(default)) for file in others)
        yield f"{_title(group, title)}\n\n{_table(keys)}\n\n{rest}".rstrip()


def _parts() -> Iterator[str]:
    """For each group a table of what all its parts take, then one for each part."""
    for group, title in GROUPS.items():
        files = sorted((CONF / group).glob("*.yaml"))
        parts: dict[str, list[Path]] = {}
        for file in files:
            parts.setdefault(_read(file)["_target_"], []).append(file)
        shared = _shared(group)
        known = {key.name for key in shared}
        yield f"{_title(group, title)}\n\n{_table(shared)}"
        for target, of in sorted(parts.items()):
            call = _found(target)
            keys = [key for key in options_of(call, f"{group}.") if key.name not in known]
            intro = inspect.getdoc(call).partition("\n\n")[0].replace("\n", " ")
            chosen = "\n".join(_file(file, {}) for file in of)
            yield "\n\n".join([f"### {target}", intro, _table(keys), chosen])


def _title(group: str, title: str) -> str:
    return f"## {group}: {title} {{#group-{group}}}"


def _shared(group: str) -> list[Key]:
    """The keys of every part of a group."""
    name = Key(f"{group}.name", "a name", ..., "that of its file, and a part of the names of all results")
    target = Key(f"{group}._target_", "a part of saev, below", ..., "")
    if group == "task":
        return [target]
    if group == "sae":
        from pipeline.cell import Reading
        from saev.sae import Trained

        return [target, name, *options_of(Reading, "sae."), *options_of(Trained, "sae.")]
    if group == "data":
        from saev.data.table import Table

        splits = Key("data.splits", "a section for each of train and val", ..., "its options differ by split")
        return [target, name, splits, *options_of(Table, "data.")]
    return [target, name]


def _predictions() -> Iterator[str]:
    from saev.hypotheses import Hypothesis

    keys = [key for key in options_of(Hypothesis, "") if key.name != "name"]
    yield f"## hypothesis: a prediction\n\nThe keys of a file of `conf/hypothesis`.\n\n{_table(keys)}"


def _places() -> str:
    """Where files are left: all of them are paths."""
    rows = []
    for key, value in _read(CONF / "paths.yaml").items():
        of = value if isinstance(value, dict) else {None: value}
        rows += [f"| `{key}{f'.{name}' if name else ''}` | `{path}` |" for name, path in of.items()]
    title = "## paths: where each stage leaves its files"
    return "\n".join([title, "", "| key | default |", "| --- | --- |", *rows])


def _keys(name: str, value: object, comments: Comments) -> list[Key]:
    """A key of a stage's own file: a section of options, or one that is in none."""
    if name in sections():
        return _section(name, value, comments)
    if name == "study" and isinstance(value, dict):
        return [_loose(f"{name}.{key}", of, comments) for key, of in value.items()]
    return [_loose(name, value, comments)]


def _loose(name: str, value: object, comments: Comments) -> Key:
    hint, meaning = LOOSE[name]
    return Key(name, kind_of(hint), ... if value == "???" else value, comments.of(name) or meaning)


def _section(section: str, given: dict, comments: Comments) -> list[Key]:
    """The options of a section."""
    keys = []
    for key in options_of(sections()[section], f"{section}."):
        name = key.name.rpartition(".")[2]
        if name in given:  # what is not is filled in by the stage
            keys.append(key._replace(default=given[name], meaning=comments.of(key.name) or key.meaning))
    if section == "intervene":
        arms = options_of(sections()["intervene.arms"], "intervene.arms[].")
        keys += [key._replace(meaning=f"{key.meaning} (each arm)") for key in arms]
    return keys


def _found(target: str) -> Callable:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def _table(keys: list[Key]) -> str:
    rows = [f"| `{k.name}` | {_cell(k.kind)} | {_value(k.default)} | {_cell(k.meaning)} |" for k in keys]
    return "\n".join(["| key | must be | default | |", "| --- | --- | --- | --- |", *rows]) if rows else ""


def _cell(words: str) -> str:
    return re.sub(r"\s+", " ", words).replace("|", "\\|").replace("<", "&lt;").strip().removesuffix(".")


def _value(value: object) -> str:
    """As it stands in a YAML file."""
    if value is ...:
        return "*needed*"
    plain = list(value) if isinstance(value, tuple) else value
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):
        return f"{len(plain)} arms"
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    return f"`{_cell(text)}`"


def _file(file: Path, default: dict) -> str:
    """What a file chooses, beside what another does."""
    own = {key: value for key, value in _read(file).items() if key not in ("_target_", "name")}
    chosen = ", ".join(
        f"`{key}: {_value(value).strip('`')}`" for key, value in own.items() if default.get(key, ...) != value
    )
    intro = _cell(Comments(file).intro).partition(". ")[0].rstrip(".:")
    return f"* `{file.relative_to(ROOT)}`: {chosen or 'as above'}. {intro}".rstrip()


@cache
def _read(file: Path) -> dict:
    return yaml.safe_load(file.read_text())


if __name__ == "__main__":
    print(page(), end="")
