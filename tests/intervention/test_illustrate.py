"""The edits that are kept to look at."""

import numpy as np
import pytest

from saev.errors import SaevError
from saev.intervention import Arm, Illustration, edited_images
from saev.intervention.trial import Trial
from tests.intervention.examples import commonest, liveliest


def trials_of(setup, targets):
    latents = liveliest(setup, len(targets))
    return [Trial(setup, c, (s,), seed=i) for i, (c, s) in enumerate(zip(targets, latents, strict=True))]


@pytest.mark.parametrize("name", ["setup", "setup_of_images", "setup_of_cls"])
@pytest.mark.parametrize("control", ["random direction", "random latent"])
def test_each_class_is_shown_in_an_image_before_and_after_the_edit_and_its_control(name, control, request):
    setup = request.getfixturevalue(name)
    among = trials_of(setup, commonest(setup, 3))
    found = edited_images(among, Illustration(strength=-4.0, control=control))
    assert [image.name for image in found] == [setup.model.task.classes[trial.target] for trial in among]
    numbers, truth = setup.model.images.tolist(), setup.truth_bu
    for trial, edited in zip(among, found, strict=True):
        i = numbers.index(edited.image)
        assert (truth[i] == trial.target).any() and edited.latents == trial.latents
        changes = [
            Arm(place="all", strengths=(-4.0,), images=1, control=c).applied(trial, -4.0).change()
            for c in (None, control)
        ]
        for shown, change in zip((edited.after, edited.control), changes, strict=True):
            expected = setup.model.predict(change_btd=setup.whole(change))[i]
            np.testing.assert_array_equal(shown, expected)
        np.testing.assert_array_equal(edited.before, setup.before_bu[i])


def test_the_image_shows_the_class_in_about_half_of_it_and_right(setup):
    among = trials_of(setup, commonest(setup, 6))
    for trial, edited in zip(among, edited_images(among, Illustration()), strict=True):
        figures = {}
        for i, truth_u, before_u in zip(setup.model.images, setup.truth_bu, setup.before_bu, strict=True):
            share = (truth_u == trial.target).double().mean().item()
            if share > 0:
                figures[int(i)] = (before_u == truth_u).double().mean().item() - abs(share - 0.5)
        assert figures[edited.image] == pytest.approx(max(figures.values()))


def test_a_class_that_no_image_shows_is_left_out(setup_of_images):
    shown = setup_of_images.truth_bu.unique().tolist()
    absent = next(c for c in range(16) if c not in shown)
    found = edited_images(trials_of(setup_of_images, [absent, shown[0]]), Illustration())
    assert [image.name for image in found] == [setup_of_images.model.task.classes[shown[0]]]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (
            {"control": "nobody"},
            "maps.control must be one of random latent, random direction, .*, got 'nobody'",
        ),
        ({"classes": -1}, "maps.classes must be an integer in \\[0, 1000000000\\], got -1"),
        ({"strength": float("nan")}, "maps.strength must be a number >= .* and <= .*, got nan"),
    ],
)
def test_bad_options_are_named_and_echoed(option, line):
    with pytest.raises(SaevError, match=f"^{line}$"):
        Illustration(**option)


def test_a_class_without_such_a_control_is_left_out(setup):
    """Nobody says which directions or rivals there are."""
    among = trials_of(setup, commonest(setup, 2))
    assert edited_images(among, Illustration(control="pca latent")) == []
    assert edited_images(among, Illustration(control="probe direction")) == []
