"""The metrics of edits: one strength that was fixed beforehand, with the control beside it."""

import pytest

from pipeline.intervene import headline
from tests.report.studies import outcome


def test_the_metrics_are_the_effect_at_one_strength_beside_its_control():
    of = outcome(("cat",))
    for point in of["points"]:  # the last strength is that of the headline, the first has more effect
        if point["strength"] == 0:
            point["effect"] = 0.99
    found = headline(of["points"], of["curves"], -2.0)
    assert found.keys() == {"chosen_latent", "random_latent", "random_direction"}
    claim = found["chosen_latent"]["all"]
    assert claim["effect"] == pytest.approx(0.6) == pytest.approx(claim["target"] - claim["control_target"])
    assert (claim["effect_low"], claim["effect_high"], claim["selectivity"]) == (0.45, 0.9, 0.93)
    assert found["random_latent"]["active"]["effect"] is None


def test_an_arm_that_was_not_run_at_that_strength_has_no_effect():
    of = outcome(("cat",), strengths=(-1.0,))
    claim = headline(of["points"], of["curves"], -2.0)["chosen_latent"]["all"]
    assert claim["effect"] is claim["target"] is claim["effect_low"] is None and claim["selectivity"] == 0.93
