import numpy as np
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from saev.activations import Origin
from saev.features import Codes, strongest_latents, top_images


def test_top_images_are_ordered_and_never_silent():
    codes = np.array([[0, 1.0], [0, 0], [3, 0], [0, 2]])
    assert top_images(codes, 2).tolist() == [2, 3]
    assert top_images(codes, 9).tolist() == [2, 3, 0]
    assert top_images(np.zeros((4, 2)), 3).tolist() == []
    assert top_images(np.array([[2.0], [5.0], [2.0]]), 3).tolist() == [1, 0, 2]  # of equals the first


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=1, max_size=9), st.integers(1, 12))
def test_strongest_latents_are_those_of_the_largest_codes(largest, k):
    """Each latent shows its largest code in another unit than the others."""
    codes = Codes(
        scipy.sparse.csr_array(np.diag(largest).astype(np.float32)),
        len(largest),
        Origin(*"abc", 0, (), ""),
        "",
    )
    found = strongest_latents(codes, k).tolist()
    expected = sorted((s for s in range(len(largest)) if largest[s]), key=lambda s: (-largest[s], s))
    assert found == expected[:k]
