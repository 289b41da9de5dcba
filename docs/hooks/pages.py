"""What MkDocs makes the site of beside the pages in docs/: those at the root of the project, and those that
are made from the code. In all of them links lead to pages; one to code, which is no page, becomes its words.
"""

import ast
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.hooks import configuration

ROOT = Path(__file__).parents[2]
MOVED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages at the root, and what they are called on the site."""
PICTURES = (".png", ".svg")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
"""`[text](target#anchor)`, also of a picture."""
PACKAGES = (
    *("data", "backbones", "activations", "sae", "sae.formats", "training", "tasks", "features"),
    *("evaluation", "probing", "intervention", "hypotheses", "statistics", "machine"),
)
"""Of the API, in the order of the data."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that are not in docs/."""
    for name, page in MOVED.items():
        text = (ROOT / name).read_text()
        files.append(File.generated(config, page, content=text))
        for picture in (target for _, _, target, _ in LINK.findall(text) if target.endswith(PICTURES)):
            files.append(File.generated(config, target_of(picture), abs_src_path=str(ROOT / picture)))
    files.append(File.generated(config, "configuration.md", content=configuration.page()))
    for package in PACKAGES:
        files.append(File.generated(config, f"api/{package}.md", content=api(package)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links as the site needs them."""
    name = page.file.src_uri
    source = next((root for root, moved in MOVED.items() if moved == name), f"docs/{name}")

    def relinked(found: re.Match) -> str:
        picture, text, target, anchor = found.groups(default="")
        if not target or "://" in target:
            return found[0]
        path = normpath(PurePosixPath(source).parent / target)
        where = target_of(path)
        if files.get_file_from_path(where) is None:
            return text
        return f"{picture}[{text}]({relpath(where, PurePosixPath(name).parent)}{anchor})"

    return LINK.sub(relinked, markdown)


def target_of(path: str) -> str:
    """Where a file of the project is on the site."""
    return MOVED.get(path, path.removeprefix("docs/"))


def api(package: str) -> str:
    """The page of a package: what it exports, as it is documented in the code."""
    folder = ROOT / "saev" / package.replace(".", "/")
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    names = [
        alias.asname
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    ]
    exported = f"\n    options:\n      members: [{', '.join(names)}]" if names else ""
    return f"# saev.{package}\n\n::: saev.{package}{exported}\n"
