"""The documentation as a site: built strictly, of every page, with nothing from another host; and its page of
keys, against what Hydra composes."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from docs.hooks import configuration, pages
from docs.hooks.options import sections

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "use": "href"}
"""Elements that make a browser fetch something, and by which attribute."""


class Parsed(HTMLParser):
    """What a page loads, what it links to, and where it can be linked to."""

    def __init__(self, text: str):
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(LOADED.get(tag, "")) and given.get("rel") != "canonical":
            self.loads.append(given[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """As `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(site):
    parsed = {file: Parsed(file.read_text()) for file in site.rglob("*.html") if file.name != "404.html"}
    assert len(parsed) > 30
    for file, page in parsed.items():
        for address in [*page.loads, *page.links]:
            parts = urlsplit(address)
            if parts.scheme:
                assert parts.scheme in ("https", "data") and address not in page.loads, f"{file}: {address}"
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{file}: {address}"
            if parts.fragment and target in parsed:
                assert unquote(parts.fragment) in parsed[target].ids, f"{file}: {address}"
    for style in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*[\"']?(https?://[^\"')]+)", style.read_text())
        assert not found, f"{style}: {found}"


@pytest.mark.slow
def test_every_public_name_has_an_entry(site):
    for package in pages.PACKAGES:
        text = (site / f"api/{package}.html").read_text()
        for name in re.findall(r"members: \[(.*)\]", pages.api(package)):
            for public in name.split(", "):
                assert f'id="saev.{package}.{public}"' in text, f"saev.{package}.{public}"


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    written = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    made = {"configuration.md", *pages.MOVED.values(), *(f"api/{name}.md" for name in pages.PACKAGES)}
    assert listed == written | made


def test_links_become_the_sites():
    class Somewhere:
        file = type("File", (), {"src_uri": "adding/edit.md"})

    class Known:
        @staticmethod
        def get_file_from_path(name: str) -> bool | None:
            return name in ("measures.md", "index.md", "report/a.png") or None

    def relinked(text: str) -> str:
        return pages.on_page_markdown(text, Somewhere, None, Known)

    assert relinked("[m](../measures.md#choices)") == "[m](../measures.md#choices)"
    assert relinked("[r](../../README.md)") == "[r](../index.md)"
    assert relinked("![p](../../report/a.png)") == "![p](../report/a.png)"
    assert relinked("[`x.py`](../../saev/checks.py)") == "`x.py`"
    assert relinked("[a](https://arxiv.org/abs/1)") == "[a](https://arxiv.org/abs/1)"


def keys(node: DictConfig, prefix: str = "") -> list[str]:
    """Of a composed configuration, at every level."""
    found = []
    for name, value in OmegaConf.to_container(node).items():
        found.append(f"{prefix}{name}")
        if isinstance(value, dict) and f"{prefix}{name}" not in ("data.splits", "intervene.listed"):
            found += keys(OmegaConf.create(value), f"{prefix}{name}.")
    return found


@pytest.fixture(scope="module")
def table() -> dict[str, list[str]]:
    """The rows of the page of keys, by key."""
    rows: dict[str, list[str]] = {}
    for key, row in re.findall(r"^\| `([^`]+)` \|(.*)\|$", configuration.page(), re.M):
        rows.setdefault(key, []).append(row)
    return rows


STAGES = sorted(file.stem for file in (ROOT / "conf").glob("*.yaml") if file.stem not in ("paths", "study"))


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_has_every_key_that_a_stage_composes(stage, table):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(stage)
    sections_of = {name for name, value in OmegaConf.to_container(cfg).items() if isinstance(value, dict)}
    whole = ("images.", "shapes.")  # of the plan: mappings whose keys are names
    missing = [key for key in keys(cfg) if key not in table and not key.startswith(whole)]
    assert not set(missing) - sections_of


def test_the_page_has_every_option_of_every_dataclass(table):
    absent = {"extract.split", "hypothesis.name"}  # which the stages fill in themselves
    for section, kind in sections().items():
        # Of the laboratory; its keys stand without a section; a file of its own, which hardware= names.
        if section in ("edit", "hypothesis", "rates"):
            continue
        prefix = "intervene.arms[]" if section == "intervene.arms" else section
        for field in fields(kind):
            name = f"{prefix}.{field.name}"
            assert name in table or name in absent | {"extract.layers"}, name


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("probe.permutations", "an integer in [19, 1000000] | `1000` | of label maps among images"),
        (
            "trainer.steps",
            "an integer in [1, 1000000000], or null | `null` | optimiser steps",
        ),
        ("sae.k", "an integer in [1, d_sae] | `32` | Active latents per token"),
        ("seed", "an integer in [0, 4294967295] | `0`"),
        ("store", "a path | *needed* | directory of an activation store"),
        ("task.ignore", "a list, each a string that is not empty | `[]` | Classes that count in nothing"),
    ],
)
def test_rows_say_bounds_defaults_and_meanings(key, said, table):
    assert any(said in row for row in table[key]), table[key]


def test_defaults_on_the_page_are_those_of_the_files(table):
    for stage in ("probe", "evaluate", "atlas", "causes", "contrast", "counterfactual", "features"):
        for name, value in yaml.safe_load((ROOT / f"conf/{stage}.yaml").read_text())[stage].items():
            (row,) = table[f"{stage}.{name}"]
            assert yaml.safe_load(re.search(r"\| `([^`]*)` \|", row)[1]) == value
