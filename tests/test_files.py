"""What is written beside results to tell whether they were changed."""

import hashlib

import numpy as np
import pytest

from saev.files import digest


def test_digest_is_the_sha256_of_what_is_said_and_of_the_values():
    arrays = {"b": np.arange(6, dtype=np.int16).reshape(2, 3), "a": np.float32([1.5])}
    expected = hashlib.sha256()
    expected.update(b'{"k": 2}')
    expected.update(b"\na float32 (1,)\n" + np.float32(1.5).tobytes())
    expected.update(b"\nb int16 (2, 3)\n" + np.arange(6, dtype="<i2").tobytes())
    assert digest({"k": 2}, arrays) == expected.hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros((3, 2), np.int16)},
        {"a": np.zeros((2, 3), np.float16)},
        {"b": np.zeros((2, 3), np.int16)},
        {"a": np.eye(2, 3, dtype=np.int16)},
        {"a": np.zeros((2, 3), np.int16), "b": np.zeros(0)},
    ],
)
def test_names_types_and_shapes_count(other):
    assert digest(None, {"a": np.zeros((2, 3), np.int16)}) != digest(None, other)
