import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from saev.report import lettering
from saev.report.lettering import drawable, fit, shorten, visible
from saev.report.style import styled

ODD = (
    "US$ and CA$",
    "$x_$",
    "<b>&amp;</b>",
    "[x]",
    "new\nline",
    "猫と犬",
    "n" * 200,
    "W" * 60,
    "_under",
    "",
    "🐈",
)


def drawn_width(text: str, size: float) -> float:
    """Inches that matplotlib itself draws, at many pixels."""
    with styled():
        figure = Figure(dpi=400)
        label = figure.text(0, 0, text, fontsize=size)
        return label.get_window_extent().width / 400


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("inches", [0.5, 2.0])
def test_a_name_is_no_wider_than_its_place(name, inches):
    assert drawn_width(fit(name, inches, 9), 9) <= inches


@settings(deadline=None)
@given(st.text(max_size=60), st.floats(0.6, 3))
def test_any_text_keeps_as_much_of_both_ends_as_there_is_room_for(text, inches):
    whole, fitted = drawable(text), fit(text, inches, 8)
    if fitted != whole:
        head, _, tail = fitted.partition("…") if "…" not in whole else (whole, "", "")
        assert whole.startswith(head) and whole.endswith(tail)
        assert lettering.width(fitted, 8) <= inches


@settings(deadline=None)
@given(st.text(max_size=20))
def test_whatever_is_drawn_has_letters(text):
    letters = lettering._letters()
    assert all(ord(c) in letters for c in drawable(text))


def test_short_names_stay_as_they_are():
    assert fit("US$ and CA$", 3, 9) == "US$ and CA$" and shorten("abc", 3) == "abc"
    assert shorten("abcdefgh", 5) == "abc…gh"


def test_what_cannot_be_printed_is_spelled():
    assert visible("a\nb\x1b[1m") == "a\\nb\\x1b[1m"


def test_scripts_without_a_font_are_spelled_so_that_names_stay_apart(monkeypatch):
    monkeypatch.setattr(lettering, "families", lambda: ("DejaVu Sans",))
    lettering._letters.cache_clear()
    assert drawable("猫") == "\\u732b" != drawable("犬")
    lettering._letters.cache_clear()
