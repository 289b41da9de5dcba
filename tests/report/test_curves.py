import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import StepPatch

from saev.report import density_histogram, frontier, loss_curves, save
from tests.report.looking import boxes, overlap, settled

SAES = [f"sae {i}" for i in range(10)]


def curve(names):
    return [{"step": s, "sae": n, "mse": 1 / (s + 1), "l0": 9.0 + s} for n in names for s in range(4)]


def one_look_each(lines) -> bool:
    return len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines)


@pytest.mark.parametrize("names", [SAES[:1], SAES])
def test_loss_is_drawn_for_every_sae(names, tmp_path):
    figure = loss_curves(curve(names))
    error, count = figure.axes
    for axes, key in ((error, "mse"), (count, "l0")):
        lines = {tuple(line.get_ydata()) for line in axes.lines}
        assert lines == {tuple(p[key] for p in curve(SAES[:1]))}
        assert len(axes.lines) == len(names) and one_look_each(axes.lines)
        assert axes.get_xlabel() and axes.get_ylabel()
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == (names if len(names) > 1 else [])  # of one there is nothing to tell apart
    save(figure, tmp_path / "a.svg")


def test_a_number_of_active_latents_that_is_fixed_needs_no_curve():
    fixed = [{**point, "l0": 32.0} for point in curve("a")]
    (error,) = loss_curves(fixed).axes
    assert "error" in error.get_ylabel() and len(loss_curves([]).axes) == 1


def test_titles_are_numbers_of_what_is_drawn():
    title = {}
    for name, figure in {
        "one": loss_curves(curve("a")),
        "two": loss_curves([*curve("a"), {"step": 9, "sae": "b", "mse": 2.0, "l0": 3.0}]),
        "costs": frontier([{"sae": "a", "l0": 3, "nmse": 0.9}, {"sae": "b", "l0": 4, "nmse": 0.25}]),
        "dense": density_histogram({"a": [0, 0.5, 0.001, 0.001]}),
        "denser": density_histogram({"a": [0, 0.5, 0.001, 0.001], "b": [0.5, 0.5]}),
    }.items():
        title[name] = [axes.get_title(loc="left") for axes in figure.axes]
    # 1 / (step + 1) of the steps 0 to 3, and 9 + step.
    assert title["one"] == [
        "Error of reconstruction: 1 at first, 0.25 in the end",
        "Active latents: 9 at first, 12 in the end",
    ]
    assert title["two"] == ["Error of reconstruction: 0.25 (a) to 2 (b)", "Active latents: 3 (b) to 12 (a)"]
    assert title["costs"] == ["Least error: b, 0.25"]
    assert title["dense"] == ["4 latents: 25.0 % dense, 25.0 % dead"]
    assert title["denser"] == ["Dense latents: 25.0 % (a) to 100.0 % (b)"]


@pytest.mark.parametrize("n", [1, 10])
def test_frontier_shows_every_sae_under_its_name(n, tmp_path):
    points = [
        {"sae": name, "l0": 30 + i % 3, "nmse": 0.2 + 0.01 * (i // 3)} for i, name in enumerate(SAES[:n])
    ]
    figure = frontier(points)
    (axes,) = figure.axes  # of nothing else was measured
    drawn = {tuple(line.get_xydata()[0]) for line in axes.lines}
    assert drawn == {(p["l0"], p["nmse"]) for p in points}
    assert {text.get_text() for text in axes.texts} == set(SAES[:n])
    save(figure, tmp_path / "a.png")
    assert not overlap(boxes(settled(figure).axes[0].texts))


def test_frontier_has_a_panel_of_all_that_was_measured(tmp_path):
    points = [
        {"sae": "a", "l0": 32, "nmse": 0.2, "f1": 0.5, "selectivity": 0.9},
        {"sae": "b", "l0": 54, "nmse": 0.3, "f1": None, "selectivity": 0.7},
    ]
    error, f1, edits = frontier(points).axes
    drawn = [{tuple(line.get_xydata()[0]) for line in axes.lines} for axes in (error, f1, edits)]
    assert drawn == [{(32, 0.2), (54, 0.3)}, {(32, 0.5)}, {(32, 0.9), (54, 0.7)}]
    save(frontier(points), tmp_path / "a.png")
    assert frontier([]).axes == []


def test_a_dead_sae_is_on_the_frontier():
    (axes,) = frontier([{"sae": "dead", "l0": 0, "nmse": 1.0}]).axes
    assert axes.get_ylim()[1] > 1 and axes.get_xlim()[1] > 0


shares = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1)), max_size=50)


@settings(deadline=None)
@given(st.lists(shares, max_size=3))
def test_every_latent_that_fires_is_counted(lists):
    densities = {f"sae {i}": np.array(of) for i, of in enumerate(lists)}
    (axes,) = density_histogram(densities).axes
    counts = [patch.get_data().values.sum() for patch in axes.patches if isinstance(patch, StepPatch)]
    assert counts == [(of > 0).sum() for of in densities.values()]


def test_dead_latents_are_told_and_dense_ones_marked(tmp_path):
    figure = density_histogram(
        {"half": np.array([0, 0, 0.5, 1.0]), "dead": np.zeros(4), "x": np.full(4, 0.1)}
    )
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["half (50.0 % dead)", "dead (100.0 % dead)", "x (0.0 % dead)"]
    assert "dense" in figure.axes[0].texts[0].get_text()
    save(figure, tmp_path / "a.png")
