"""The k largest of each row on a GPU, in one pass over memory.

torch.topk sorts, and on rows of tens of thousands it takes several times as long as the encoder product. Here
one block of threads keeps a row in registers, finds its k-th largest value bit by bit (count those at or
above a candidate; keep the bit if there are k of them), and writes down the columns that reach it. Floats are
compared as unsigned integers of the same order: all bits of the negative ones and the sign of the others are
flipped.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _topk(pre, latents, s, k, BITS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    value = tl.load(pre + row * s + columns, mask=columns < s, other=0.0)
    if BITS == 16:
        raw = value.to(tl.uint16, bitcast=True).to(tl.uint32)
        key = tl.where(raw >= 0x8000, 0xFFFF - raw, raw + 0x8000)
    else:
        raw = value.to(tl.uint32, bitcast=True)
        key = tl.where(raw >= 0x80000000, 0xFFFFFFFF - raw, raw + 0x80000000)
    key = tl.where(columns < s, key, 0)  # below every number, even -inf
    least = tl.zeros([], dtype=tl.uint32)
    one = tl.full([], 1, dtype=tl.uint32)
    for i in range(BITS):
        candidate = least | (one << (BITS - 1 - i))
        enough = tl.sum((key >= candidate).to(tl.int32)) >= k
        least = tl.where(enough, candidate, least)
    above, equal = key > least, key == least
    room = k - tl.sum(above.to(tl.int32))
    taken = above | (equal & (tl.cumsum(equal.to(tl.int32), 0) <= room))
    place = tl.cumsum(taken.to(tl.int32), 0) - 1
    tl.store(latents + row * k + place, columns.to(tl.int64), mask=taken)


def topk_columns(pre_ns: Tensor, k: int) -> Tensor:
    """(n, k) int64, ascending: the columns of the k largest values of each row of float32 or bfloat16.

    Of equal values at the k-th place those of the lowest columns.
    """
    n, s = pre_ns.shape
    block = triton.next_power_of_2(s)
    latents = torch.empty(n, k, dtype=torch.int64, device=pre_ns.device)
    bits = 8 * pre_ns.element_size()
    with torch.cuda.device_of(pre_ns):  # Triton would launch on the current device
        _topk[(n,)](  # pyright: ignore[reportIndexIssue] (so `triton.jit` makes it)
            pre_ns.contiguous(),
            latents,
            s,
            k,
            BITS=bits,
            BLOCK=block,
            num_warps=min(32, max(4, block // 1024)),
        )
    return latents
