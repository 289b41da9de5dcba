"""Data as scripts: what goes in comes out, whatever it is called."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saev.atlas.script import TYPES, narrowest, packed, script
from tests.atlas.reading import put, unpacked


@pytest.mark.parametrize("kind", TYPES)
def test_columns_come_back_bit_for_bit(kind):
    rng = np.random.default_rng(0)
    column = (
        rng.integers(0, 200, 33).astype(kind) if kind != "float32" else rng.standard_normal(33, np.float32)
    )
    found = unpacked(packed(column))
    assert found.dtype == np.dtype(kind) and np.array_equal(found, column)


def test_big_endian_and_strided_arrays_are_stored_alike():
    column = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert packed(column.astype(">f4")) == packed(column)
    assert np.array_equal(unpacked(packed(column.T)), column.T.ravel())


def test_nan_is_a_number_of_a_column():
    assert np.isnan(unpacked(packed(np.float32([np.nan])))).all()


@pytest.mark.parametrize(("top", "kind"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65536, "uint32")])
def test_whole_numbers_take_the_fewest_bytes(top, kind):
    assert narrowest(np.array([0, top])).dtype == kind
    assert narrowest(np.empty(0, int)).dtype == "uint8"


HOSTILE = ["</script><script>alert(1)</script>", "'\"`${x}\\", "\u2028\u2029", "<!--", "日本 🐦", "\0\n\r"]


@given(st.text() | st.sampled_from(HOSTILE), st.text())
def test_no_text_ends_a_script(key, value):
    text = script(key, {"name": value})
    assert text.isascii() and "<" not in text and text.count("\n") == 1
    assert put(text) == (key, {"name": value})


def test_what_json_has_not_is_refused():
    with pytest.raises(ValueError):
        script("key", float("nan"))
