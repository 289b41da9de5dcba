import numpy as np
import pytest

from saev.report import f1_bars, save
from tests.report.looking import boxes, overlap, settled
from tests.report.studies import matches
from tests.report.test_lettering import ODD


def bars(figure):
    return {patch.get_y() + patch.get_height() / 2: patch for patch in figure.axes[0].patches}


@pytest.mark.parametrize("n", [0, 1, 2, 25, 150])
def test_any_number_of_classes(n, tmp_path):
    rows = matches([f"class {i}" for i in range(n)], np.random.default_rng(0))
    figure = f1_bars(rows)
    save(figure, tmp_path / "f1.png")
    (axes,) = figure.axes
    widths = [patch.get_width() for _, patch in sorted(bars(figure).items())]
    ranked = sorted((row["f1"] for row in rows), reverse=True)
    assert widths == (ranked if n <= 40 else ranked[:20] + ranked[-20:])
    assert (
        n <= 40
        or "150 of 150 classes have a latent that finds them better than chance (20 best, 20 worst)"
        == figure.get_suptitle()
    )
    assert not overlap(boxes(settled(figure).axes[0].get_yticklabels()))
    assert not figure.legends[0].get_window_extent().overlaps(axes.get_window_extent())


def test_names_show_as_themselves_without_a_warning(tmp_path, caplog):
    rows = matches(ODD, np.random.default_rng(0))
    figure = f1_bars(rows)
    save(figure, tmp_path / "f1.png")
    labels = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    latents = {row["name"]: row["latent"] for row in rows}
    for name, shown in {"US$ and CA$": "US$ and CA$", "new\nline": "new\\nline", "[x]": "[x]"}.items():
        assert f"{shown}  #{latents[name]}" in labels
    left = min(box.x0 for box in boxes(settled(figure).axes[0].get_yticklabels()))
    assert left >= 0 and not caplog.records


def test_what_is_not_above_chance_is_marked():
    rows = matches(("good", "bad"), np.random.default_rng(0))
    rows[0] |= {"f1": 0.5, "low": 0.4, "high": 0.6, "shuffled": 0.1, "q": 0.05, "f1_train": 0.6}
    rows[1] |= {"f1": 0.2, "low": None, "high": None, "shuffled": 0.1, "q": 0.06, "f1_train": 0.7}
    figure = f1_bars(rows)
    told = [text.get_text() for text in figure.axes[0].texts]
    assert told == ["0.50", "0.20  by chance"]
    assert figure.get_suptitle() == "1 of 2 classes have a latent that finds them better than chance"
    assert [bool(patch.get_hatch()) for patch in figure.axes[0].patches] == [False, True]
    lines = [line.get_xdata().tolist() for line in figure.axes[0].lines]
    assert lines == [[0.4, 0.6], [0.6, 0.6], [0.1], [0.7, 0.7], [0.1]]  # interval, where chosen, null
