"""What a stage executes, as a hash: it changes exactly when code that the stage runs has changed in meaning.

The code of `saev` and `pipeline` is a graph of definitions: functions, methods, classes, module-level values.
From the stage's `main` and the `_target_`s of its configuration the search follows every dotted name in a
reached definition to what it stands for: a definition of the same module, one imported (at the top or inside
a function, by way of any re-exports), or an attribute of an imported module. Definitions are numbered as
names lead there, and the hash is over their syntax trees and over which name means which number. So comments,
docstrings, formatting, the order of imports and definitions, and the file in which one stands have no
influence; nor has what is not reached: a new module, function, method or export beside those in use.

What else counts:

    methods  of a reached class, once their name is an attribute (whatever the object) or a string in reached
             code; `__these__` always; all, if a base or decorator is of another library, which may call them
    imports  of every module imported on the way, the packages above it too, the statements that bind no name
             (`matplotlib.use("Agg")`, `if` blocks), and what has a decorator of ours, which may register it
    data     all files beside a module that are not Python, once reached code says `__file__`, or names one of
             them, or the package in a string (`files("saev.report")`); all, for templates include one another
    tables   of a module-level dict {"name": function} the entries whose key is a string in the configuration
             or in reached code (all, if there is none), as long as reached code asks for nothing but an entry
             (`EDITS[kind]`, `EDITS.get(kind)`) or the keys (`in`, `join`, `check_choice`, inside `raise`). So
             it is with a package that only re-exports, handed on as an object

Where it cannot know it takes more: a variable counts as the global of its name; a table that is looped over
counts whole, as does any other module that is handed on; `import_module`, `eval` and the like mean the whole
project. What it trusts: that assignments, class statements and imports of other libraries have no effect but
their names; that keys, and the names of attributes and modules of ours, are spelled in one piece; that other
libraries call of a class without a base of theirs `__these__` alone; that nobody computes with docstrings;
and that other libraries stay as they are.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable

from pipeline.facts.graph import Code, Node
from pipeline.facts.module import PACKAGES, Target


class Closure:
    """All that is reached from `roots`, full names of definitions.

    Args:
        strings: those of the configuration, which may be keys of tables.

    Attributes:
        reached: what counts, as `module:name`, in the order in which it was met.
        digest: 16 hex digits over the meaning of it all.
    """

    def __init__(self, code: Code, roots: Iterable[str], strings: Iterable[str] = ()):
        self._code = code
        self._strings, self._by_name = set(strings), set()
        self._attributes: dict[str, set[str]] = {package: set() for package in PACKAGES}
        self._numbers: dict[str, int] = {}
        self._queue: deque[Node] = deque()
        self._divided: list[tuple[str, Node]] = []  # what has parts
        self._imported: dict[str, bool] = {}  # and whether its effects are counted
        self._folders: set[str] = set()
        for name in roots:
            for target in code.locate(name):
                self._reach(target)
        text = []
        while self._queue or self._reach_effects() or self._reach_parts():
            text.append(self._read(self._queue.popleft()))
        data = (item for folder in self._folders for item in code.data(folder).items())
        text += sorted(f"{file} {hashlib.sha256(content).hexdigest()}" for file, content in data)
        self.reached = list(self._numbers)
        self.digest = hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]

    def _read(self, node: Node) -> str:
        """Its text, and what the names in it mean."""
        self._import(node.imports)
        self._strings |= node.strings
        self._attributes[node.package] |= node.attributes
        if node.asks_by_name:
            self._by_name.add(node.package)
        for folder in node.folders - self._folders:  # a template asks objects, too
            self._folders.add(folder)
            for content in self._code.data(folder).values():
                words = re.findall(rb"[A-Za-z_][A-Za-z_0-9]*", content)
                self._attributes[node.package].update(map(bytes.decode, words))
        meanings = (
            f"{name}={meaning if isinstance(meaning, str) else self._reach(meaning, by_key)}"
            for name, meaning, by_key in node.links
        )
        return f"{node.text}\n{' '.join(meanings)}"

    def _reach(self, target: Target, by_key: bool = False) -> int:
        """The number of a definition of ours or, without a name, of a module that is handed on."""
        self._import([target.module])
        if (by_key or not target.name) and (table := self._code.table(target)).parts:
            return self._number(":".join(target) + "[]", table)
        return self._number(":".join(target), self._code.node(target))

    def _number(self, label: str, node: Node) -> int:
        if label not in self._numbers:
            self._numbers[label] = len(self._numbers)
            self._queue.append(node)
            if node.parts:
                self._divided.append((label, node))
        return self._numbers[label]

    def _import(self, names: Iterable[str]) -> None:
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in self._imported:
                self._imported[name] = False
                todo += self._code.imports(name)

    def _reach_effects(self) -> bool:
        """Queue what the modules imported since the last time do, in an order that is not that of files."""
        new = [name for name, counted in self._imported.items() if not counted]
        self._imported |= dict.fromkeys(new, True)
        effects = [
            (node.text, f"{name}:{i}", node)
            for name in new
            for i, node in enumerate(self._code.effects(name))
        ]
        for _, label, node in sorted(effects):
            self._number(label, node)
        return bool(self._queue)

    def _reach_parts(self) -> bool:
        """Queue the methods and entries asked for; if none are new, all of the tables without any."""
        asked = {package: self._asked(package) for package in PACKAGES}
        for label, node in self._divided:
            for name, part in node.parts:
                if name in (self._strings if node.is_table else asked[node.package]):
                    self._number(f"{label}.{name}", part)
        if not self._queue:
            for label, node in self._divided:
                if node.is_table and not any(name in self._strings for name, _ in node.parts):
                    for name, part in node.parts:
                        self._number(f"{label}.{name}", part)
        return bool(self._queue)

    def _asked(self, package: str) -> set[str]:
        """What the objects of a package may be asked, by itself and those that know it."""
        asking = PACKAGES[PACKAGES.index(package) :]
        attributes = set().union(*(self._attributes[other] for other in asking))
        return attributes if self._by_name.isdisjoint(asking) else attributes | self._strings
