import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saev.data import IGNORE, majority_labels


@given(
    arrays(np.uint16, (12, 8), elements=st.sampled_from([0, 1, 2, IGNORE])),
    st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_equals_a_loop_over_patches(pixels, purity):
    got = majority_labels(pixels, (3, 2), purity)
    for k in range(6):
        row, column = divmod(k, 2)
        patch = pixels[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4].ravel()
        counts = [(patch == c).sum() for c in range(3)]
        best = int(np.argmax(counts))
        expected = best if counts[best] >= purity * 16 and counts[best] > 0 else IGNORE
        assert got[k] == expected


def test_indivisible_grid_is_refused():
    with pytest.raises(ValueError, match="10 x 8 .* 3 x 2"):
        majority_labels(np.zeros((10, 8), np.uint8), (3, 2))
