"""A source file of the project: what binds each of its names, and what happens when it is imported."""

import ast
import os
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name
from typing import Any, NamedTuple

from pipeline.facts.syntax import Function, Import, dotted, is_main, only_binds

PACKAGES = ("saev", "pipeline")
"""The project's, each knowing those before it."""


class Target(NamedTuple):
    """What a name may stand for: a name in a module or, without one, the module."""

    module: str
    name: str = ""


class Module:
    """The module-level statements of a file.

    Attributes:
        bound: name -> the statements that bind it.
        aliases: name -> what imports bind to it.
        imports: the import statements, those in `if` and `try` too.
        effects: the statements that do more than bind names, and definitions with a decorator of ours.
    """

    def __init__(self, name: str, file: str):
        self.name, self.folder = name, os.path.dirname(file)
        self.is_package = os.path.basename(file) == "__init__.py"
        self.bound: dict[str, list[ast.stmt]] = {}
        self.aliases: dict[str, list[Target]] = {}
        self.imports: list[Import] = []
        self.effects: list[ast.stmt] = []
        with open(file, "rb") as source:
            statements = ast.parse(source.read(), file).body
        for statement in statements:
            self._read(statement)
        for alias, target in self.aliases_of(self.imports):
            self.aliases.setdefault(alias, []).append(target)
        self.effects += filter(self.has_own_decorator, statements)

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, Function | ast.ClassDef) or is_main(statement):
            self.bound.setdefault(getattr(statement, "name", "__main__"), []).append(statement)
            return
        for node in ast.walk(statement):
            if isinstance(node, Import):
                self.imports.append(node)
            elif isinstance(node, Function | ast.ClassDef):
                self.bound.setdefault(node.name, []).append(statement)
            elif isinstance(node, ast.Name) and type(node.ctx) is ast.Store:
                self.bound.setdefault(node.id, []).append(statement)
        if not only_binds(statement):
            self.effects.append(statement)

    def has_own_decorator(self, statement: ast.stmt) -> bool:
        """Whether a decorator of this project may do what it likes with it."""
        return any(map(self._is_ours, getattr(statement, "decorator_list", ())))

    def _is_ours(self, expression: ast.AST) -> bool:
        """Whether something of the project is named in it."""
        names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
        targets = [target for name in names for target in self.aliases.get(name, ())]
        return bool(names & self.bound.keys()) or any(root(target.module) in PACKAGES for target in targets)

    def aliases_of(self, imports: Iterable[Import]) -> Iterator[tuple[str, Target]]:
        """The names that import statements bind, and to what."""
        for node in imports:
            for alias in node.names:
                if isinstance(node, ast.ImportFrom):
                    yield alias.asname or alias.name, Target(self._source(node), alias.name)
                elif alias.asname:
                    yield alias.asname, Target(alias.name)
                else:
                    yield root(alias.name), Target(root(alias.name))

    def imported_by(self, imports: Iterable[Import]) -> Iterator[str]:
        """The modules that import statements may import, not to mention the packages above them."""
        for node in imports:
            above = f"{self._source(node)}." if isinstance(node, ast.ImportFrom) else ""
            yield from (above + alias.name for alias in node.names)

    def _source(self, node: ast.ImportFrom) -> str:
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        return resolve_name("." * node.level + (node.module or ""), package)

    def table(self, name: str) -> dict[str, ast.expr]:
        """The entries of a dict {"name": function}, or ("") of a package that only re-exports; else {}."""
        if not name:
            plain = self.is_package and not self.effects and all(name.startswith("__") for name in self.bound)
            return {alias: ast.Name(alias) for alias in self.aliases} if plain else {}
        statement, *others = self.bound[name]
        found = getattr(statement, "value", None)
        if others or not isinstance(found, ast.Dict):
            return {}
        keys: list[Any] = [getattr(key, "value", None) for key in found.keys]
        functions = (isinstance(v, ast.Lambda) or (dotted(v) and self._is_ours(v)) for v in found.values)
        plain = all(functions) and all(isinstance(key, str) for key in keys)
        return dict(zip(keys, found.values, strict=True)) if plain else {}


def root(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]
