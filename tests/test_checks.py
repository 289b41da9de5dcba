"""Options against what their annotations say, and the messages that users see."""

import math
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saev.checks import Options, above, at_least, between, check_choice, check_int, check_number
from saev.errors import SaevError, first_line


@dataclass(frozen=True, kw_only=True)
class Base(Options, section="sae"):
    shared: ClassVar[int] = 0
    width: Annotated[int, at_least(1)] = 64
    free: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Full(Base):
    k: Annotated[int, between(1, "width")] = 8
    rate: Annotated[float, above(0, up_to=1)] = 1
    lr: Annotated[float, above(0)] = 1e-3
    warmup: Annotated[float, between(0, 1)] = 0.5
    few: Annotated[int, above(2, up_to=9)] = 3
    unit: bool = True
    name: str = "a"
    parallel: Literal["batch", "latents"] = "batch"
    devices: Annotated[int, at_least(1)] | Literal["auto"] = "auto"
    limit: Annotated[int, at_least(1)] | None = None
    widths: tuple[Annotated[int, at_least(1)], ...] = ()
    pairs: tuple[tuple[str, ...], ...] = ()
    place: Path | None = None
    several: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Plain(Options):
    n: Annotated[int, at_least(1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "sae.width must be an integer >= 1, got 0"),
        ({"width": True}, "sae.width must be an integer >= 1, got True"),
        ({"width": 3.0}, "sae.width must be an integer >= 1, got 3.0"),
        ({"k": 0}, "sae.k must be an integer in [1, 64], got 0"),
        ({"k": 5, "width": 4}, "sae.k must be an integer in [1, 4], got 5"),
        ({"k": "abc"}, "sae.k must be an integer in [1, 64], got 'abc'"),
        ({"rate": 0}, "sae.rate must be a number > 0 and <= 1, got 0"),
        ({"lr": 0}, "sae.lr must be a number > 0, got 0"),
        ({"lr": math.inf}, "sae.lr must be a number > 0, got inf"),
        ({"lr": math.nan}, "sae.lr must be a number > 0, got nan"),
        ({"warmup": 2}, "sae.warmup must be a number >= 0 and <= 1, got 2"),
        ({"warmup": False}, "sae.warmup must be a number >= 0 and <= 1, got False"),
        ({"few": 2}, "sae.few must be an integer > 2 and <= 9, got 2"),
        ({"free": -math.inf}, "sae.free must be a number, got -inf"),
        ({"unit": "no"}, "sae.unit must be one of True, False, got 'no'"),
        ({"unit": 1}, "sae.unit must be one of True, False, got 1"),
        ({"name": 3}, "sae.name must be a string that is not empty, got 3"),
        ({"parallel": "tokens"}, "sae.parallel must be one of batch, latents, got 'tokens'"),
        ({"devices": "all"}, "sae.devices must be an integer >= 1 or auto, got 'all'"),
        ({"devices": 0}, "sae.devices must be an integer >= 1 or auto, got 0"),
        ({"limit": 0}, "sae.limit must be an integer >= 1, got 0"),
        ({"widths": [3, 0]}, "sae.widths must be an integer >= 1, got 0"),
        ({"widths": 3}, "sae.widths must be a list, each an integer >= 1, got 3"),
        ({"pairs": ["ab"]}, "sae.pairs must be a list, each a string that is not empty, got 'ab'"),
        ({"place": "a/b"}, "sae.place must be a Path, got 'a/b'"),
        ({"several": [True]}, "sae.several must be a list, each an integer, got [True]"),
    ],
)
def test_faults_are_named_and_echoed(options, message):
    with pytest.raises(SaevError) as error:
        Full(**options)
    assert str(error.value) == message


def test_without_a_section_the_field_stands_alone():
    with pytest.raises(SaevError, match=r"^n must be an integer >= 1, got 0$"):
        Plain(n=0)


def test_right_values_stay_as_they_are_and_lists_become_tuples():
    full = Full(
        rate=1, devices=2, limit=None, widths=[1, 2], pairs=[["a"], []], place=Path("a"), several=None
    )
    assert full.rate == 1 and isinstance(full.rate, int)
    assert full.widths == (1, 2) and full.pairs == (("a",), ()) and hash(full) == hash(full)
    with pytest.raises(FrozenInstanceError):
        full.k = 3


def test_an_annotation_that_cannot_be_checked_is_a_fault_of_the_class():
    @dataclass(frozen=True, kw_only=True)
    class Odd(Options):
        table: dict[str, int]

    with pytest.raises(TypeError, match=r"dict\[str, int\]: Options cannot check this annotation"):
        Odd(table={})


ENDS = st.floats(-1e6, 1e6)


@given(low=ENDS, high=ENDS, value=st.floats())
def test_numbers_pass_exactly_within_their_bounds(low, high, value):
    def passes(**bound):
        try:
            check_number("x", value, **bound)
        except SaevError:
            return False
        return True

    finite = math.isfinite(value)
    assert passes(low=low, high=high) == (finite and low <= value <= high)
    assert passes(low=low, above=True) == (finite and low < value)


@given(low=st.integers(), high=st.integers(), value=st.integers())
def test_integers_pass_exactly_within_their_bounds(low, high, value):
    if low <= value <= high:
        check_int("x", value, low=low, high=high)
    else:
        with pytest.raises(SaevError) as error:
            check_int("x", value, low=low, high=high)
        assert str(error.value) == f"x must be an integer in [{low}, {high}], got {value}"


def test_choices():
    check_choice("split", "val", ("train", "val"))
    with pytest.raises(SaevError, match=r"^split must be one of train, val, got 'test'$"):
        check_choice("split", "test", ("train", "val"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (AssertionError(), "AssertionError"),
        (ValueError("\n \n  what is wrong \nand more"), "what is wrong"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
    ],
)
def test_first_line_says_something(error, line):
    assert first_line(error) == line
