"""Pieces of Python source: what they say, whatever their layout, and which names and strings are in them."""

import ast
from collections.abc import Iterable

Import = ast.Import | ast.ImportFrom
Function = ast.FunctionDef | ast.AsyncFunctionDef

UNWRITTEN = {"ctx", "type_comment", "kind"}  # fields of syntax trees that say nothing
ASKS_FOR_KEYS = {"join", "check_choice"}  # calls that take of a table its keys alone


class Syntax:
    """Statements or expressions as text that is the same for the same meaning and for all versions of Python.

    Docstrings, `pass` and everything in `without` are left out, and imports, which only give names a meaning.

    Attributes:
        names: the dotted names in it, each with whether it is asked by key, which makes a difference if it is
            a table: `T` of `T[k]`, `k in T`, `join(T)`, and all in `raise`.
        attributes: those of other expressions, d of `f().d`.
        strings, imports: the others in it.
    """

    def __init__(self, nodes: Iterable[ast.AST], without: Iterable[ast.AST] = ()):
        self.names: set[tuple[str, bool]] = set()
        self.attributes: set[str] = set()
        self.strings: set[str] = set()
        self.imports: list[Import] = []
        self._without = set(without)
        self.text = "\n".join(self._write(node, False, False) for node in nodes)

    def _write(self, node: ast.AST, by_key: bool, within: bool) -> str:
        """The text of a node that is asked `by_key`; or everything `within` it is."""
        kind = type(node)
        if isinstance(node, ast.Constant):
            if type(node.value) is str:
                self.strings.add(node.value)
            return ascii(node.value)
        if (kind is ast.Name or kind is ast.Attribute) and (name := dotted(node)):
            self.names.add((name, by_key or within))
            return name
        if isinstance(node, Import):
            self.imports.append(node)
            return ""
        if kind is ast.Pass or is_docstring(node) or node in self._without:
            return ""
        asked = None
        if isinstance(node, ast.Attribute):
            self.attributes.add(node.attr)
        elif isinstance(node, ast.Subscript):
            asked = node.value
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            asked = node.comparators[0]
        elif kind is ast.Raise or (isinstance(node, ast.Call) and last_name(node.func) in ASKS_FOR_KEYS):
            within = True
        nothing = ("", "''") if kind is ast.JoinedStr else ("",)  # 3.12 adds empty strings to format specs
        fields = []
        for field in kind._fields:
            value = getattr(node, field, None)
            if value is None or value == [] or field in UNWRITTEN:
                continue  # fields that only newer Pythons have are empty
            texts = [
                self._write(item, item is asked, within) if isinstance(item, ast.AST) else ascii(item)
                for item in (value if type(value) is list else (value,))
            ]
            fields.append(f"{field}=[{' '.join(text for text in texts if text not in nothing)}]")
        return f"{kind.__name__}({' '.join(fields)})"


def dotted(node: ast.AST) -> str | None:
    """`a.b.c`, where it is made of names alone."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return None


def last_name(node: ast.AST) -> str | None:
    """The `join` of `", ".join`."""
    return getattr(node, "attr", None) or getattr(node, "id", None)


def is_docstring(node: ast.AST) -> bool:
    """A constant on a line of its own."""
    return type(node) is ast.Expr and type(node.value) is ast.Constant


def is_main(statement: ast.stmt) -> bool:
    """`if __name__ == "__main__":`, which does something in the module that is run alone."""
    if not isinstance(statement, ast.If) or statement.orelse or not isinstance(statement.test, ast.Compare):
        return False
    return dotted(statement.test.left) == "__name__" and isinstance(statement.test.ops[0], ast.Eq)


def only_binds(statement: ast.stmt) -> bool:
    """An import of names, an assignment to plain names, or a docstring."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        plain = ast.Name | ast.Tuple | ast.List | ast.Starred | ast.expr_context
        return all(isinstance(node, plain) for target in targets for node in ast.walk(target))
    if isinstance(statement, Import):
        return all(alias.name != "*" for alias in statement.names)
    return is_docstring(statement)
