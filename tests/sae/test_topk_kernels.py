"""The k largest of each row by our own ways, against torch.topk."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.sae.kernels.scores import largest

# Run in a process of its own: Triton decides at import whether it interprets. Ties, infinities and both zeros
# are among the rows.
INTERPRETED = """
import torch
from saev.sae.kernels.triton_topk import topk_columns
for dtype in (torch.float32, torch.bfloat16):
    for s, k, shift in ((100, 7, 0), (2048, 32, -3), (300, 300, 0), (5, 1, 9)):
        x = (torch.randn(12, s, generator=torch.Generator().manual_seed(s)) + shift).to(dtype)
        x[0], x[1], x[2], x[3, ::2], x[4, 0] = 0, -torch.inf, x[2].round(), -0.0, torch.inf
        columns = topk_columns(x, k)
        assert (columns.diff(dim=1) > 0).all() and columns.min() >= 0 and columns.max() < s
        assert torch.equal(x.gather(1, columns).sort(1).values, x.topk(k, dim=1).values.sort(1).values)
"""


def check(x, k, columns):
    assert columns.shape == (len(x), k)
    assert all(len(set(row)) == k for row in columns.tolist())
    assert torch.equal(x.gather(1, columns).sort(1).values, x.topk(k, dim=1).values.sort(1).values)


@given(s=st.integers(1020, 9000), k=st.integers(1, 250), ties=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_long_rows_on_the_cpu(s, k, ties, seed):
    x = torch.randn(3, s, generator=torch.Generator().manual_seed(seed))
    x = x.round(decimals=1) if ties else x
    check(x, k, largest(x, k))


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_triton_kernel_in_its_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run(
        [sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("s", "k"), [(2048, 32), (24576, 32), (24576, 512), (65536, 64)])
def test_triton_kernel_on_a_gpu(dtype, s, k):
    x = torch.randn(256, s, device="cuda").to(dtype)
    check(x, k, largest(x, k))
