import re
from datetime import date
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from saev.report.style import place, save, scale, sheet, styled


def figure() -> Figure:
    with styled():
        made = Figure(figsize=(2, 1), layout="constrained")
        axes = made.subplots()
        axes.plot([1, 2], [3, 4], label="a$b$")
        axes.set(title="$x_{$", xlabel="US$ and CA$")
        axes.legend()
    return made


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_readers_settings_change_nothing_and_are_left_alone(tmp_path, kind):
    one, other = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    save(figure(), one)
    theirs = {
        "font.family": ["serif"],
        "savefig.facecolor": "red",
        "savefig.bbox": "tight",
        "lines.linewidth": 9.0,
        "text.parse_math": True,
        "axes.formatter.limits": [0, 0],
    }
    with matplotlib.rc_context(theirs):
        before = dict(matplotlib.rcParams)
        save(figure(), other)
        assert dict(matplotlib.rcParams) == before
    assert one.read_bytes() == other.read_bytes()
    assert set(tmp_path.iterdir()) == {one, other}


def test_lines_are_an_svg_that_names_no_day_and_asks_nobody(tmp_path):
    with styled():
        made = Figure(figsize=(2, 1))
        made.text(0, 0.5, "<b> & US$")
    save(made, tmp_path / "a.svg")
    svg = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(svg.get("width").removesuffix("pt")) == 144  # 2 inches
    text = (tmp_path / "a.svg").read_text()
    assert str(date.today().year) not in text and "Matplotlib" not in text
    assert not list(svg.iter("{http://www.w3.org/2000/svg}text"))  # letters are outlines
    assert not re.findall(r'(?:href|src)="(?!#|data:)', text)


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    save(figure(), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(figure(), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_sheet_is_measured_in_inches_from_the_upper_left(tmp_path):
    with styled():
        made, axes = sheet(2, 1)
        place(axes, np.zeros((3, 3, 3), np.uint8), 0.5, 0.25, 1, 0.5)
    save(made, tmp_path / "a.png", dpi=100)
    dark = imread(tmp_path / "a.png")[..., 0] < 0.5
    assert dark.shape == (100, 200) and dark[26:74, 51:149].all()
    dark[25:75, 50:150] = False
    assert not dark.any()


@pytest.mark.parametrize(
    ("values", "kind"), [([1, 100], "log"), ([0, 100], "linear"), ([5, 6], "linear"), ([], "linear")]
)
def test_an_axis_is_logarithmic_only_over_decades(values, kind):
    axes = Figure().subplots()
    scale(axes, "y", values)
    assert axes.get_yscale() == kind
    assert kind == "log" or axes.get_ylim()[0] == 0
