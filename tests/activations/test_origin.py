import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saev.activations import Origin, agree
from saev.errors import SaevError

A = Origin("timm/a", "0123", "64x64 px; 1 cls, 16 patch", 10, ("cls", "patch"), "photographs")
OTHERS = A._replace(
    backbone="timm/b",
    weights="4567",
    geometry="32x32 px; 4 patch",
    layer=4,
    kinds=("patch",),
    data="paintings",
)


def test_goes_through_json():
    assert Origin.of(json.loads(json.dumps(A.as_dict()))) == A


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        A.as_dict() | {"layer": "10"},
        A.as_dict() | {"layer": True},
        A.as_dict() | {"kinds": "patch"},
        A.as_dict() | {"weights": None},
        A.as_dict() | {"step": 3},
    ],
)
def test_a_damaged_record_is_no_origin(record):
    with pytest.raises(
        SaevError, match=r"^origin must hold backbone, weights, geometry, layer, kinds, data, got "
    ):
        Origin.of(record)


@given(differ=st.sets(st.sampled_from(Origin._fields)), but=st.sets(st.sampled_from(Origin._fields)))
def test_what_differs_is_named_with_both_values(differ, but):
    theirs = A._replace(**{field: getattr(OTHERS, field) for field in differ})
    if not differ - but:
        agree(A, theirs, "data/sae/x", "data/acts/y", but=tuple(but))
        return
    with pytest.raises(SaevError) as raised:
        agree(A, theirs, "data/sae/x", "data/acts/y", but=tuple(but))
    line = str(raised.value)
    mine, _, others = line.partition(", but data/acts/y has ")
    assert mine.startswith("data/sae/x: ") and "\n" not in line
    for field in Origin._fields:
        told = field in differ - but
        assert told == (f"{field} {getattr(A, field)!r}" in mine)
        assert told == (f"{field} {getattr(OTHERS, field)!r}" in others)


def test_a_long_value_is_shortened():
    with pytest.raises(SaevError) as raised:
        agree(A, A._replace(geometry="g" * 1000), "a", "b")
    assert len(str(raised.value)) < 250
