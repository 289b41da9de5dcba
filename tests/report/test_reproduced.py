"""The picture of edits against changes of the image: what it says follows from its numbers."""

import numpy as np
import pytest

from saev.report import pairs_plot, save
from saev.report.reproduced import first_arms, sentence

METHODS = ("chosen latent", "random latent", "difference of means", "probe direction")


def arm(method="chosen latent", share=0.9, strength=-0.5, low=0.7, high=1.2):
    interval = {"share_low": low, "share_high": high}
    return {"method": method, "strength": strength, "share": share, "r": 0.5, "sign": 0.9, **interval}


def record(arms=None, n=40):
    rng = np.random.default_rng(0)
    arms = (
        [arm(), arm(strength=0.0), arm("random latent", 0.02), arm("difference of means", 1.4)]
        if arms is None
        else arms
    )
    points = [
        {"attribute": ("stripes", "turn")[i % 2], "photograph": "cat", "image": float(rng.normal(-5))}
        | {"edits": {method: float(rng.normal(-4)) for method in METHODS}}
        for i in range(n)
    ]
    attributes = [{"name": "stripes", "claimed": True}, {"name": "turn", "claimed": False}]
    return {"arms": arms, "attributes": attributes, "points": points}


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ([arm(), arm("random latent", 0.02)], "do 90 % (70 to 120) of what .* does, random ones 2 %$"),
        ([arm(share=-0.1, low=None, high=None)], "do \N{MINUS SIGN}10 % of what .* does$"),
        ([arm(share=None)], "^No latent that beats its null"),
        ([arm("random latent", 0.3)], "^No latent that beats its null"),
    ],
)
def test_its_title_says_what_was_found(arms, says):
    import re

    assert re.search(says.replace("(", r"\(").replace(")", r"\)"), sentence(arms))


def test_only_edits_of_the_strength_that_controls_are_matched_to_are_drawn(tmp_path):
    of = record()
    assert [row["method"] for row in first_arms(of["arms"])] == [*METHODS[:3]]
    figure = pairs_plot(of)
    *panels, bars = figure.axes
    assert [axes.get_title("left") for axes in panels] == [
        "Chosen latent",
        "Random latent",
        "Difference of means",
    ]
    for axes, method in zip(panels, METHODS, strict=False):
        drawn = sorted(tuple(xy) for of_one in axes.collections for xy in of_one.get_offsets().tolist())
        assert drawn == sorted((-p["image"], -p["edits"][method]) for p in of["points"])
    assert [tick.get_text() for tick in bars.get_yticklabels()] == [*METHODS[:3]]
    assert "turn (beats no null)" in figure.legends[0].get_texts()[1].get_text()
    save(figure, tmp_path / "a.png")
    save(pairs_plot(record()), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_anything_claimed_there_is_a_picture_that_says_so():
    nothing = [arm(share=None, low=None, high=None) | {"r": None, "sign": None}]
    figure = pairs_plot(record(nothing))
    assert figure.get_suptitle().startswith("No latent")
    assert any("nothing was measured" in text.get_text() for text in figure.axes[-1].texts)
