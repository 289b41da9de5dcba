"""The notebook of docs/ and the page beside it, run from the first cell to the last on a tiny study."""

import inspect
import json
import re
from ast import literal_eval

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import saev
from tests.pipeline.study import ROOT
from tests.study.conftest import CELL

DOCS = ROOT / "docs"
SHOWN = "mosaic-dinov2_packaged-L10-topk"


@pytest.fixture(scope="module")
def executed(finished):
    """What a reader sees who runs all cells in the folder of a study."""
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(SHOWN, CELL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(finished / "ipython"))
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(finished)}}).execute()
    return notebook


def shown(notebook, words: str, kind: str = "text/plain") -> str:
    """What the code cell that holds these words shows."""
    (cell,) = (of for of in notebook.cells if of.cell_type == "code" and words in of.source)
    return cell.outputs[-1]["data"][kind]


def test_the_notebook_runs_from_own_image_to_counterfactual(executed):
    assert shown(executed, "open_study") == f"Study(.: {CELL})"
    assert shown(executed, f'study["{CELL}"]').startswith(f"Cell({CELL}: 96 latents")
    for words, cards in (("explain(striped)", 6), ("rarity", 3), ("find(", 1)):
        assert shown(executed, words, "text/html").count("<section") == cards
    assert "stripes (concepts): F1" in shown(executed, "find(")
    change = literal_eval(shown(executed, "def left"))
    assert next(iter(change)) == "the image without stripes" and len(change) == 3
    assert all(np.isfinite(value) and value != 0 for value in change.values())
    assert re.fullmatch(r"'cosine of the outputs [01]\.\d+; restored: True'", shown(executed, "doubled"))


def test_the_notebook_is_stored_without_outputs_or_places():
    stored = json.loads((DOCS / "notebook.ipynb").read_text())
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    text = "".join(line for cell in stored["cells"] for line in cell["source"])
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)\b", text)
    nbformat.validate(nbformat.from_dict(stored))


def test_the_page_runs_as_it_is_printed(finished, monkeypatch, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "my.jpg")
    (tmp_path / "conf").symlink_to(finished / "conf")
    for top in ("data", "results"):  # beside an image of one's own, with nothing of it changed
        (tmp_path / top).symlink_to(finished / top)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (DOCS / "notebook.md").read_text(), re.S):
        exec(code.replace(SHOWN, CELL).replace("layer=10", "layer=4"), names)
    assert len(names["found"]) == 6 and names["after"].logits_uc.shape == names["before"].logits_uc.shape
    assert not np.array_equal(names["after"].logits_uc, names["before"].logits_uc)
    assert names["output"].shape == (1, names["model"].num_classes)


def test_the_page_names_every_argument_of_an_edit():
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "notebook.md").read_text(), re.M)
    assert rows == list(inspect.signature(saev.edited).parameters)[2:]
