import pytest

from saev.report import gains_over_floors, save
from tests.report.looking import boxes, overlap, settled

NAMES = ("frozen-decoder", "frozen-soft", "seed-1", "random", "pca")


def floor(name, low, kinds=("classes", "concepts")):
    gained = {"gain": low + 0.1, "low": low, "high": low + 0.2}
    f1 = {kind: gained if kind in kinds else None for kind in ("classes", "concepts")}
    return {"floor": name, **gained, **f1}


@pytest.mark.parametrize("kinds", [(), ("classes",), ("concepts",), ("classes", "concepts")])
def test_each_floor_has_its_gain_in_every_panel(kinds, tmp_path):
    rows = [floor(name, 0.1 * i - 0.15, kinds) for i, name in enumerate(NAMES)]
    figure = gains_over_floors(rows)
    assert len(figure.axes) == 1 + len(kinds)
    for axes in figure.axes:
        drawn = [line for line in axes.lines if line.get_marker() == "o"]
        assert [float(line.get_xdata()[0]) for line in drawn] == [row["gain"] for row in rows]
        filled = [line.get_markerfacecolor() != "white" for line in drawn]
        assert filled == [row["low"] > 0 for row in rows]  # certain only to the right of 0
    assert not overlap(boxes(settled(figure).axes[0].get_yticklabels()))
    # Of the lows -0.15, -0.05, 0.05, 0.15, 0.25 three are above 0.
    words = {"nmse": "error", "classes": "F1 of classes", "concepts": "F1 of concepts"}
    told = ", ".join(f"3 of 5 in {words[kind]}" for kind in ("nmse", *kinds))
    assert figure.get_suptitle() == f"Floors certainly beaten: {told}"
    save(figure, tmp_path / "a.svg")


def test_without_an_interval_nothing_is_certain(tmp_path):
    row = floor("random", 0.5) | {"low": None, "high": None, "classes": None, "concepts": None}
    (axes,) = gains_over_floors([row]).axes
    assert [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"] == ["white"]
    save(gains_over_floors([]), tmp_path / "none.png")
