import numpy as np
import pytest

from saev.intervention import Arm
from saev.report import save, tradeoff
from saev.report.outcomes import CHOSEN, is_control
from tests.report.looking import boxes, overlap, settled
from tests.report.studies import METHODS, STRENGTHS, outcome


def drawn(of, tmp_path):
    figure = tradeoff(of["points"], of["curves"])
    save(figure, tmp_path / "a.png")
    return settled(figure)


@pytest.mark.parametrize("places", [("all",), ("all", "class", "predicted", "active", "a $new$ one")])
def test_one_panel_per_place_scaled_to_its_data(places, tmp_path):
    of = outcome(("cat",), places=places)
    for point in of["points"]:
        if point["place"] == "class":  # hardly anything else changes
            point["other"], point["other_interval"] = point["other"] / 1000, None
    figure = drawn(of, tmp_path)
    assert len(figure.axes) == len(places) == len({axes.get_title(loc="left") for axes in figure.axes})
    for axes, place in zip(figure.axes, places, strict=True):
        largest = max((p["other_interval"] or [p["other"]])[-1] for p in of["points"] if p["place"] == place)
        assert largest <= axes.get_xlim()[1] < 1.2 * largest
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())


def test_strengths_of_the_claim_stand_apart(tmp_path):
    of = outcome(("cat",), strengths=(0.0, -0.5, -1.0, -2.0, -4.0))
    for point in of["points"]:  # all in one corner
        point["other"], point["target"] = point["other"] / 50, 0.3 + point["target"] / 20
    figure = drawn(of, tmp_path)
    for axes in figure.axes:
        words = [text for text in axes.texts if text.get_text()]
        told = {word for text in words for word in text.get_text().split(", ")}
        assert told == {"0", *(f"\N{MINUS SIGN}{s}" for s in ("0.5", "1", "2", "4"))}
        assert not overlap(boxes(words))


def test_points_on_each_other_share_their_words(tmp_path):
    of = outcome(("cat",), places=("all",))
    for point in of["points"]:
        point["other"], point["target"] = 0.1, 0.5
    assert [text.get_text() for text in drawn(of, tmp_path).axes[0].texts] == [
        "0, -1, -2".replace("-", "\N{MINUS SIGN}")
    ]


def test_intervals_are_drawn_and_controls_told_apart(tmp_path):
    of = outcome(("cat",), places=("all",))
    (axes,) = drawn(of, tmp_path).axes
    segments = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines}
    for point in of["points"]:
        assert (tuple(point["other_interval"]), (point["target"],) * 2) in segments
        assert ((point["other"],) * 2, tuple(point["target_interval"])) in segments
    curves = [line for line in axes.lines if len(line.get_xdata()) == len(STRENGTHS) + 1]
    assert len({(c.get_color(), c.get_marker(), c.get_linestyle()) for c in curves}) == len(METHODS)
    assert sorted(line.get_linestyle() == "-" for line in curves) == [False, False, True]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[0] == "chosen latent: selectivity 0.93" and "random latent: selectivity 0.55" in legend


def test_what_was_not_measured_is_left_out(tmp_path):
    of = outcome(("cat",), places=("all", "active"))
    for point in of["points"]:
        if point["place"] == "active":
            point |= dict.fromkeys(("target", "target_interval", "other", "other_interval"))
    first, second = drawn(of, tmp_path).axes
    assert [text.get_text() for text in second.texts] == ["nothing was measured here"]
    assert all(np.isfinite(line.get_xydata()).all() for line in first.lines)
    assert len(tradeoff([], []).axes) == 1


def test_the_title_is_what_the_strongest_edit_did(tmp_path):
    figure = drawn(outcome(("cat",)), tmp_path)
    # The claim's last of three strengths: 3/3 of 0.9, 3/40, and a third of 0.9 by its control.
    assert figure.get_suptitle() == (
        "Edits of strength \N{MINUS SIGN}2 on every token change 90 % of the target\n"
        "and 8 % of the others; the control 30 % of the target"
    )


def test_claims_are_the_chosen_latents_edits():
    assert not is_control("chosen latent") and not is_control("chosen latent, ablate")
    assert is_control("random direction") and is_control("class mean")
    # The name that records have it by.
    assert Arm(place="all", strengths=(0,), images=1).method == CHOSEN
