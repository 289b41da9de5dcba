"""What a stage executes: followed through small projects whose answer is plain."""

from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.facts.closure import Closure
from pipeline.facts.graph import Code


def closure(folder: Path, files: dict[str, str], strings: tuple[str, ...] = ()) -> Closure:
    """Of `pipeline.run.main` in a project of these files and of empty `__init__.py` where there is none."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content))
        for above in path.relative_to(folder).parents:
            if above.parts and path.suffix == ".py" and not (folder / above / "__init__.py").exists():
                (folder / above / "__init__.py").touch()
    return Closure(Code(str(folder)), ["pipeline.run.main"], strings)


# name: files, then what is reached beside main
WAYS = {
    "names of the module, and what those name": (
        {"pipeline/run.py": "def main(): a()\ndef a(): return B\nB = 1\ndef c(): ..."},
        {"pipeline.run:a", "pipeline.run:B"},
    ),
    "an import inside a function": (
        {
            "pipeline/run.py": "def main():\n from saev.x import a as z\n z()",
            "saev/x.py": "def a(): ...\ndef b(): ...",
        },
        {"saev.x:a"},
    ),
    "a re-export, under another name": (
        {
            "pipeline/run.py": "from saev.p import z\ndef main(): z()",
            "saev/p/__init__.py": "from saev.p.x import a as z, b as b",
            "saev/p/x.py": "def a(): ...\ndef b(): ...",
        },
        {"saev.p.x:a"},
    ),
    "a relative import": (
        {
            "pipeline/run.py": "from saev.p import a\ndef main(): a()",
            "saev/p/__init__.py": "from .x import a",
            "saev/p/x.py": "from ..y import c\ndef a(): c()",
            "saev/y.py": "def c(): ...",
        },
        {"saev.p.x:a", "saev.y:c"},
    ),
    "an attribute of a module": (
        {
            "pipeline/run.py": "from saev import x\ndef main(): x.a()",
            "saev/x.py": "def a(): ...\ndef b(): ...",
        },
        {"saev.x:a"},
    ),
    "an attribute along a path of modules": (
        {
            "pipeline/run.py": "import saev.p.x\ndef main(): saev.p.x.a()",
            "saev/p/x.py": "def a(): ...\ndef b(): ...",
        },
        {"saev.p.x:a"},
    ),
    "a module that its package re-exports": (
        {
            "pipeline/run.py": "from saev.p import x\ndef main(): x.a()",
            "saev/p/__init__.py": "from saev.p import x as x",
            "saev/p/x.py": "def a(): ...\ndef b(): ...",
        },
        {"saev.p.x:a"},
    ),
    "a module handed on": (
        {
            "pipeline/run.py": "from saev import x\ndef main(n): getattr(x, n)()",
            "saev/x.py": "def a(): ...\nB = 1",
        },
        {"saev.x:", "saev.x:a", "saev.x:B"},
    ),
    "a module itself": (
        {"pipeline/run.py": "def main(n): globals()[n]()\ndef a(): ..."},
        {"pipeline.run:", "pipeline.run:a"},
    ),
    "a star": (
        {
            "pipeline/run.py": "from saev.x import *\ndef main(): a()",
            "saev/x.py": "def a(): ...\ndef b(): ...",
        },
        {"pipeline.run:0", "saev.x:", "saev.x:a", "saev.x:b"},
    ),
    "the unknown": (
        {
            "pipeline/run.py": "import importlib as i\ndef main(n): i.import_module(n)",
            "saev/x.py": "def a(): ...",
        },
        {"pipeline:", "pipeline.run:", "saev:", "saev.x:", "saev.x:a"},
    ),
    "a full name in a string": (
        {"pipeline/run.py": "def main(): return 'saev.x.a'", "saev/x.py": "def a(): ...\ndef b(): ..."},
        {"saev.x:a"},
    ),
    "either of two definitions": (
        {
            "pipeline/run.py": "def main(): a()\nif T:\n def a(): ...\nelse:\n from saev.x import a",
            "saev/x.py": "def a(): ...",
        },
        {"pipeline.run:0", "pipeline.run:a", "saev.x:a"},
    ),
    "the bases of a class, and the methods that are asked for": (
        {
            "pipeline/run.py": """
                def main(): return C().a
                class B: 
                    def a(self): return self.b()
                    def b(self): ...
                    def c(self): ...
                class C(B):
                    def __init__(self): self.x = x()
                    def c(self): ...
                def x(): ...
                """
        },
        {"pipeline.run:C", "pipeline.run:B", "pipeline.run:B.a", "pipeline.run:B.b", "pipeline.run:x"},
    ),
    "a method by a string, a property, and an operator": (
        {
            "pipeline/run.py": """
                def main(): return getattr(C(), "a")
                class C: 
                    def a(self): ...
                    @property
                    def b(self): ...
                    def c(self): ...
                    __call__ = c
                """
        },
        {"pipeline.run:C", "pipeline.run:C.a", "pipeline.run:C.c"},
    ),
    "all of a class that another library calls": (
        {"pipeline/run.py": "from m import M\ndef main(): C()\nclass C(M):\n def b(self): a()\ndef a(): ..."},
        {"pipeline.run:C", "pipeline.run:a"},
    ),
    "effects of what is imported on the way, and of the packages above": (
        {
            "pipeline/run.py": "from saev.p.x import a\ndef main(): a()\nif __name__ == '__main__': main()",
            "saev/p/__init__.py": "import os\nos.environ['A'] = b()\ndef b(): ...",
            "saev/p/x.py": "from saev import y\ndef a(): ...",
            "saev/y.py": "import m\nm.use(1)\nif __name__ == '__main__': a()\ndef a(): ...",
        },
        {"saev.p.x:a", "saev.p:0", "saev.p:b", "saev.y:0"},
    ),
    "what registers itself": (
        {
            "pipeline/run.py": "from saev.x import a\ndef main(): a()",
            "saev/x.py": "def a(): ...\ndef register(f): ...\n@register\ndef b(): c()\ndef c(): ...",
        },
        {"saev.x:a", "saev.x:0", "saev.x:register", "saev.x:c"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_follows(way, tmp_path):
    files, expected = WAYS[way]
    found = set(closure(tmp_path, files).reached) - {"pipeline.run:main", "pipeline.run:__main__"}
    # A package that only re-exports has nothing of its own to be reached.
    assert {name for name in found if not name.endswith("[]")} == expected


TABLE = """
    def one(): ...
    def two(): ...
    def three(): ...
    T = {"one": one, "two": two, "three": lambda: three()}
    """
ASKED = {
    "T[kind]()": {"two"},
    "T.get(kind)()": {"two"},
    "T[kind]() if kind in T else 0": {"two"},
    "check_choice('kind', kind, tuple(T)); T[kind]()": {"two"},
    "print(', '.join(sorted(T)))": {"two"},
    "T['one']()": {"one", "two"},
    "[T[name]() for name in T]": {"one", "two", "three"},
    "[f() for f in T.values()]": {"one", "two", "three"},
    "call(T)": {"one", "two", "three"},
    "call(T)[kind]": {"one", "two", "three"},
    "T == kind": {"one", "two", "three"},
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_table_counts_by_the_entries_that_are_asked_for(asked, tmp_path):
    files = {"saev/x.py": TABLE, "pipeline/run.py": f"from saev.x import T\ndef main(kind): {asked}"}
    found = closure(tmp_path, files, strings=("two", "four")).reached
    assert {name for name in ("one", "two", "three") if f"saev.x:{name}" in found} == ASKED[asked]


def test_a_table_that_nobody_names_a_key_of_counts_whole(tmp_path):
    files = {"saev/x.py": TABLE, "pipeline/run.py": "from saev import x\ndef main(kind): x.T[kind]()"}
    assert {"saev.x:one", "saev.x:two", "saev.x:three"} <= set(closure(tmp_path, files).reached)
    raised = {**files, "pipeline/run.py": "from saev.x import T\ndef main(): raise E(f'{tuple(T)}, not two')"}
    assert "saev.x:one" in closure(tmp_path, raised).reached


def test_a_package_handed_on_counts_by_the_names_that_are_asked_for(tmp_path):
    files = {
        "pipeline/run.py": "def main(kind):\n from saev import p\n vars(p)[kind]()",
        "saev/p/__init__.py": '"""Kinds."""\nfrom saev.p.x import One as One, Two as Two',
        "saev/p/x.py": "class One: ...\nclass Two: ...",
    }
    assert "saev.p.x:One" not in closure(tmp_path, files, strings=("Two",)).reached
    assert {"saev.p.x:One", "saev.p.x:Two"} <= set(closure(tmp_path, files).reached)


# name: what main says, whether that reads the template beside it
READS = {
    "files('saev.p').joinpath('page.html')": True,
    "files('saev.p') / kind": True,
    "open(Path(__file__).with_name(kind))": True,
    "open('page.html')": True,
    "open('static/style.css')": True,
    "open('other.html')": False,
}


@pytest.mark.parametrize("said", READS)
def test_package_data_count_with_the_code_that_reads_them(said, tmp_path):
    files = {
        "pipeline/run.py": "from saev.p import read\ndef main(): read('x')",
        "saev/p/__init__.py": f"def read(kind): {said}",
        "saev/p/page.html": "{% include 'part.html' %}",
        "saev/p/part.html": "old",
        "saev/p/static/style.css": "old",
    }
    before = closure(tmp_path, files).digest
    for changed in ("saev/p/part.html", "saev/p/static/style.css"):
        assert (closure(tmp_path, {**files, changed: "new"}).digest != before) == READS[said]


def test_a_template_may_ask_for_methods(tmp_path):
    files = {
        "pipeline/run.py": "def main(): f('page.html', C())\nclass C:\n def a(self): ...\n def b(self): ...",
        "pipeline/page.html": "{{ c.a() }}",
    }
    found = closure(tmp_path, files).reached
    assert "pipeline.run:C.a" in found and "pipeline.run:C.b" not in found


CHAIN = {
    "pipeline/run.py": "import numpy as np\nfrom saev.x import a\ndef main(): a(np.sum)",
    "saev/x.py": "from saev.y import b, c\ndef a(f): return b(f)",
    "saev/y.py": "def b(f): return 1\ndef c(f): return 2",
}
MEANT = {
    "another value": ("saev/y.py", "return 1", "return 3"),
    "a value of another type": ("saev/y.py", "return 1", "return True"),
    "another function of that name": ("saev/x.py", "import b, c", "import c as b, b as c"),
    "another library": ("pipeline/run.py", "import numpy as", "import torch as"),
    "a default": ("saev/x.py", "a(f)", "a(f=0)"),
    "another operator": ("saev/x.py", "b(f)", "-b(f)"),
}


@pytest.mark.parametrize("change", MEANT)
def test_another_meaning_is_another_digest(change, tmp_path):
    file, old, new = MEANT[change]
    changed = {**CHAIN, file: CHAIN[file].replace(old, new)}
    assert closure(tmp_path / "new", changed).digest != closure(tmp_path / "old", CHAIN).digest


def test_where_a_definition_stands_has_no_meaning(tmp_path):
    moved = {
        "pipeline/run.py": "X = 1\nfrom saev.p.z import a\nimport numpy as np\ndef main(): a(np.sum)",
        "saev/p/z.py": "def b(f): return 1\ndef a(f): return b(f)",
    }
    assert closure(tmp_path / "new", moved).digest == closure(tmp_path / "old", CHAIN).digest


def test_the_digest_is_that_of_every_python(tmp_path):
    """Written down as Python 3.11, 3.12 and 3.13 gave it: their syntax trees differ."""
    source = """
        def main(x, *, y: "int" = 1_000, **z):
            '''A docstring.'''
            match x:
                case {"a": [1, *_], **rest} if rest: return f"{{}}{x!r:>{y}} é" f"{y=}" "b"
                case str(): raise ValueError(x) from None
            with open(x) as f, open("y"): print(f.read()[1:, ...], -1, 1e-3, b"c", not True)
            async def g(t): return [await i async for i in t if (n := i)]
            return lambda *a, b=None: (yield)
        """
    assert closure(tmp_path, {"pipeline/run.py": source}).digest == "1fbcbc0a199ab6d1"
