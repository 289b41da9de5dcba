"""The project's code as a graph: nodes are definitions, links are the names in them."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import NamedTuple

from pipeline.facts.module import PACKAGES, Module, Target, root
from pipeline.facts.syntax import Function, Syntax, dotted

OWN_FOLDER = {"__file__", "__name__", "__package__", "__path__", "__spec__"}
OWN_MODULE = {"globals", "sys.modules"}
BY_NAME = {"getattr", "hasattr", "operator.attrgetter", "operator.methodcaller"}
ANYTHING = {"__import__", "eval", "exec", "importlib.import_module", "runpy.run_module"}
CALLS_NO_METHOD = {"abc.ABC", "dataclasses.dataclass", "typing.NamedTuple", "typing.Protocol", "Exception"}
"""Bases and decorators of classes that do not call their methods, but for `__these__`."""


class Node(NamedTuple):
    """A definition, or another piece of syntax that counts by itself, with all that it leads to."""

    text: str
    links: tuple[tuple[str, Target | str, bool], ...] = ()
    """Each name in it, what it stands for (in words, if that is not ours), whether that is asked by key."""
    imports: frozenset[str] = frozenset()
    """The modules that it imports."""
    folders: frozenset[str] = frozenset()
    """Where files lie that it reads."""
    strings: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    package: str = ""
    asks_by_name: bool = False
    """Whether a string of anybody's may be an attribute."""
    parts: tuple[tuple[str, "Node"], ...] = ()
    """What counts only if it is asked for by its name: the methods of a class, the entries of a table."""
    is_table: bool = False


class Code:
    """The project below a folder; every file is read when it is first asked for."""

    def __init__(self, folder: str = "."):
        self.folder = folder
        for once in ("module", "imports", "node", "table", "effects", "data"):
            setattr(self, once, cache(getattr(self, once)))

    def module(self, name: str) -> Module | None:
        """None unless it is ours."""
        path = os.path.join(self.folder, *name.split("."))
        files = (path + ".py", os.path.join(path, "__init__.py")) if root(name) in PACKAGES else ()
        file = next(filter(os.path.isfile, files), None)
        return Module(name, file) if file else None

    def _ours(self, name: str) -> Module:
        """A module of the project, where nothing else can be meant."""
        if (module := self.module(name)) is None:
            raise LookupError(f"{name} is no module of the project")
        return module

    def modules(self) -> list[str]:
        """The names of all modules of the project."""
        found = []
        for folder, _, files in chain(*(os.walk(os.path.join(self.folder, package)) for package in PACKAGES)):
            above = os.path.relpath(folder, self.folder).replace(os.sep, ".")
            found += (f"{above}.{f[:-3]}".removesuffix(".__init__") for f in files if f.endswith(".py"))
        return sorted(found)

    def imports(self, name: str) -> frozenset[str]:
        """The modules of ours that an import of this one imports: the package above, and what it says."""
        module = self.module(name)
        said = module.imported_by(module.imports) if module else ()
        return frozenset(other for other in (name.rpartition(".")[0], *said) if root(other) in PACKAGES)

    def data(self, folder: str) -> dict[str, bytes]:
        """All files in and below a folder that are not Python, packages below left out."""
        found = {}
        for entry in sorted(os.listdir(folder)):
            path = os.path.join(folder, entry)
            if entry[0] == "." or entry == "__pycache__" or os.path.exists(os.path.join(path, "__init__.py")):
                continue
            if os.path.isdir(path):
                found |= {f"{entry}/{file}": content for file, content in self.data(path).items()}
            elif not entry.endswith(".py"):
                with open(path, "rb") as file:
                    found[entry] = file.read()
        return found

    def locate(self, name: str) -> list[Target]:
        """What the longest beginning of a full name that leads somewhere stands for."""
        above, _, last = name.rpartition(".")
        if self.module(name):
            return [Target(name)]
        if (module := self.module(above)) and (last in module.bound or last in module.aliases):
            return self._find(Target(above, last))
        return self.locate(above) if above else []

    def _find(self, target: Target, seen: tuple[Target, ...] = ()) -> list[Target]:
        """What it is behind all re-exports: a definition or module of ours, or what other libraries have."""
        module, below = self.module(target.module), Target(".".join(target))
        if not target.name or not (module or self.module(below.module)):
            return [target]
        found = [target] if module and target.name in module.bound else []
        for alias in module.aliases.get(target.name, ()) if module else ():
            if alias not in (*seen, target):
                found += self._find(alias, (*seen, target))
        # Else it is a module in a package, or who knows what in this module.
        return found or [below if self.module(below.module) else Target(target.module)]

    def _meanings(
        self, module: Module, local: dict[str, list[Target]], name: str
    ) -> Iterator[tuple[Target | str, list[str]]]:
        """All that a dotted name may stand for, with the attributes that it asks of that."""
        first, *rest = name.split(".")
        known = first in module.bound or first in module.aliases
        todo = [(target, rest) for target in (*local.get(first, ()), *([Target(module.name, first)] * known))]
        while todo:
            target, rest = todo.pop()
            for found in self._find(target):
                if not self.module(found.module):
                    yield ".".join(filter(None, (*found, *rest))), []
                elif rest and not found.name:
                    todo.append((Target(found.module, rest[0]), rest[1:]))
                else:
                    yield found, rest

    def node(self, target: Target) -> Node:
        """A definition; without a name, everything that the module names."""
        module = self._ours(target.module)
        if not target.name:
            return self._link(module, Syntax(map(ast.Name, sorted({*module.bound, *module.aliases}))))
        statements = list(dict.fromkeys(module.bound[target.name]))
        methods: dict[str, list[ast.AST]] = {}
        if not self._is_called(module, statements):
            for method in ast.iter_child_nodes(statements[0]):
                if not isinstance(method, Function) or module.has_own_decorator(method):
                    continue
                if not method.name.startswith("__"):
                    methods.setdefault(method.name, []).append(method)
        syntax = Syntax(statements, without=chain(*methods.values()))
        syntax.attributes |= {name for name, _ in syntax.names if name in methods}  # `__call__ = encode`
        parts = tuple((name, self._link(module, Syntax(methods[name]))) for name in sorted(methods))
        return self._link(module, syntax)._replace(parts=parts)

    def _is_called(self, module: Module, statements: list[ast.stmt]) -> bool:
        """Unless they are one class whose methods nobody calls but reached code, who spells their names."""
        if len(statements) != 1 or not isinstance(statements[0], ast.ClassDef):
            return True
        for base in (*statements[0].bases, *statements[0].decorator_list):
            name = dotted(getattr(base, "func", base)) or ""
            for found in [found for found, _ in self._meanings(module, {}, name)] or [name]:
                if isinstance(found, str):
                    if found not in CALLS_NO_METHOD:
                        return True
                elif self._is_called(above := self._ours(found.module), above.bound.get(found.name, [])):
                    return True
        return any(keyword.arg in ("metaclass", None) for keyword in statements[0].keywords)

    def table(self, target: Target) -> Node:
        """A table that is only asked for entries and names; without entries if it is none."""
        module = self._ours(target.module)
        entries = sorted(module.table(target.name).items())
        parts = tuple((key, self._link(module, Syntax([value]))) for key, value in entries)
        return Node("", package=root(module.name), parts=parts, is_table=True)

    def effects(self, name: str) -> list[Node]:
        """What an import of the module does beside binding names."""
        module = self.module(name)
        return [self._link(module, Syntax([statement])) for statement in module.effects] if module else []

    def _link(self, module: Module, syntax: Syntax) -> Node:
        local: dict[str, list[Target]] = {}
        for alias, target in module.aliases_of(syntax.imports):
            local.setdefault(alias, []).append(target)
        names = {*syntax.names, *(("*", False) for alias in local if alias == "*")}
        links, attributes = [], set(syntax.attributes)
        for name, by_key in sorted(names):
            meanings = list(self._meanings(module, local, name))
            links += ((name, meaning, by_key or rest == ["get"]) for meaning, rest in meanings)
            attributes.update(*(rest for _, rest in meanings or [("", name.split(".")[1:])]))
        met = {name for name, _ in names} | {meaning for _, meaning, _ in links if isinstance(meaning, str)}
        unknown = self.modules() if met & ANYTHING else [module.name] if met & OWN_MODULE else []
        links += (("unknown", Target(name), False) for name in unknown)
        packages = []
        for string in sorted(filter(is_full_name, syntax.strings)):
            named = self.module(string)
            if named and named.is_package and not unknown:
                packages.append(named)  # of its files, as in `files("saev.report")`
            else:
                links += ((string, target, False) for target in self.locate(string))
        folders = {package.folder for package in packages}
        beside = {first_part(file) for file in self.data(module.folder)}
        if beside and (met & OWN_FOLDER or not beside.isdisjoint(map(first_part, syntax.strings))):
            folders.add(module.folder)
        imports = (*module.imported_by(syntax.imports), *(package.name for package in packages))
        told = (imports, folders, syntax.strings, attributes)
        by_name = bool(met & BY_NAME)
        return Node(
            syntax.text, tuple(links), *map(frozenset, told), package=root(module.name), asks_by_name=by_name
        )


def is_full_name(string: str) -> bool:
    """Whether it looks like the full name of something of ours."""
    return root(string) in PACKAGES and all(map(str.isidentifier, string.split(".")))


def first_part(path: str) -> str:
    return path.partition("/")[0]
