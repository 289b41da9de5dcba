"""From pixel labels to patch labels."""

import numpy as np

from saev.data.sample import IGNORE


def majority_labels(pixel_labels: np.ndarray, grid: tuple[int, int], purity: float = 0.9) -> np.ndarray:
    """Label each patch with its most frequent class, or IGNORE if that class covers less than `purity`.

    Args:
        pixel_labels: (h, w) uint16, with IGNORE where unknown; unknown pixels count against purity.
        grid: (rows, columns) of patches; h and w must be multiples of them.
        purity: required share of the patch's pixels, in [0, 1].

    Returns:
        (rows * columns,) uint16, row by row: the order of a ViT's patch tokens.
    """
    rows, columns = grid
    h, w = pixel_labels.shape
    if h % rows or w % columns:
        raise ValueError(f"pixel labels of {h} x {w} do not divide into {rows} x {columns} patches")
    patches = (
        pixel_labels.reshape(rows, h // rows, columns, w // columns)
        .swapaxes(1, 2)
        .reshape(rows * columns, -1)
    )
    # One histogram for all patches, over the few classes that the image has.
    present = np.flatnonzero(np.bincount(patches.ravel(), minlength=IGNORE + 1))
    rank = np.zeros(IGNORE + 1, np.int64)
    rank[present] = np.arange(len(present))
    pairs = np.arange(len(patches))[:, None] * len(present) + rank[patches]
    counts = np.bincount(pairs.ravel(), minlength=len(patches) * len(present)).reshape(len(patches), -1)
    counts[:, present == IGNORE] = 0
    label, count = present[counts.argmax(1)], counts.max(1)
    return np.where(count >= max(purity * patches.shape[1], 1), label, IGNORE).astype(np.uint16)
