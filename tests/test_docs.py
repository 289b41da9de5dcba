"""The examples in docs/ run as they are printed, on a store made here."""

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
STORE = "data/acts/mosaic-dinov2_packaged/val"


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)


@pytest.mark.parametrize("library", ["zarr", "tensorstore", "saev"])
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a stranger's open() without close
def test_store_examples(library, stores):
    (code,) = (example for example in examples("activation-store.md") if re.search(rf"^(import|from) .*{library}", example, re.M))
    assert code.strip().count("\n") < 10 and STORE in code
    names: dict = {}
    exec(code.replace(STORE, str(stores["train"].path)), names)
    if library == "saev":
        assert names["batch"].shape == (512, 24) and names["acts"].shape == (8, 16, 24)
        np.testing.assert_array_equal(names["some"], stores["train"].acts(1)[:][[3, 0], [1, 5]])
    else:
        np.testing.assert_array_equal(names["acts"], stores["train"].patches(1, 0, 32))
    if library == "zarr":
        # The normalised activations have mean 0 and mean norm sqrt(d) over the whole store; 32 of 40 images come close.
        assert np.linalg.norm(names["x"], axis=-1).mean() == pytest.approx(24**0.5, rel=0.05)
        assert names["labels"].shape == (32, 16)
