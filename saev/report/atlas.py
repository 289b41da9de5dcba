"""Pictures of images: what a latent fires on, and what an edit does to a segmentation."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from saev.report.style import styled


def spotlight(pixels: np.ndarray, codes_hw: np.ndarray, peak: float) -> np.ndarray:
    """The image (h, w, 3) uint8, lit where the codes (rows, columns) are near `peak`, dark grey where they are 0."""
    h, w = pixels.shape[:2]
    strength = Image.fromarray(np.clip(codes_hw / peak, 0, 1).astype(np.float32)).resize(
        (w, h), Image.Resampling.BILINEAR
    )
    light = np.asarray(strength)[..., None] ** 0.5
    grey = pixels.mean(-1, keepdims=True) * 0.4
    return (light * pixels + (1 - light) * grey).astype(np.uint8)


def exemplar_atlas(rows: list[tuple[str, list[np.ndarray], list[np.ndarray]]], n_images: int) -> Figure:
    """For each class the images on which its chosen latent fires most, lit where it fires.

    Args:
        rows: (title, images uint8, codes per image (rows, columns)) per class.
        n_images: images per class; rows may have fewer.
    """
    with styled():
        per_row = 2
        figure, panels = plt.subplots(
            -(-len(rows) // per_row),
            per_row,
            figsize=(11, 1.42 * -(-len(rows) // per_row) + 0.4),
            squeeze=False,
        )
        for axes in panels.flat:
            axes.axis("off")
        for axes, (title, images, codes) in zip(panels.flat, rows, strict=False):
            peak = max([float(code.max()) for code in codes], default=1.0)
            lit = [spotlight(image, code, peak) for image, code in zip(images, codes, strict=True)]
            blank = np.full((*(images[0].shape[:2] if images else (224, 224)), 3), 255, np.uint8)
            axes.imshow(np.concatenate([*lit, *[blank] * (n_images - len(lit))], axis=1))
            axes.set_title(title, fontsize=9)
        figure.suptitle(
            "Where the latent chosen for each class fires: its strongest validation images, lit by its code",
            fontsize=11,
            x=0.01,
            ha="left",
        )
    return figure


def segmentation_maps(
    rows: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    grid: tuple[int, int],
    edit: str,
) -> Figure:
    """Image, predicted classes, and predicted classes after the edit, one row per target class.

    Args:
        rows: (target class, image uint8, before (p,), after (p,)).
        edit: what was done, for the title.
    """
    palette = plt.get_cmap("tab20")(np.arange(len(classes)) % 20)[:, :3]
    with styled():
        figure, panels = plt.subplots(len(rows), 4, figsize=(9.5, 2.2 * len(rows) + 1.2), squeeze=False)
        for axes in panels.flat:
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
        for (name, pixels, before, after), line in zip(rows, panels, strict=True):
            changed = (before != after).reshape(grid)
            line[0].imshow(pixels)
            line[1].imshow(palette[before].reshape(*grid, 3))
            line[2].imshow(palette[after].reshape(*grid, 3))
            line[3].imshow(pixels)
            veil = np.ones((*grid, 4)) * np.where(changed, 0.0, 0.85)[..., None] ** (
                0,
                0,
                0,
                1,
            )  # white, clear where changed
            line[3].imshow(veil, extent=(0, pixels.shape[1], pixels.shape[0], 0))
            line[0].set_ylabel(f"edit: {name}", fontweight="bold")
        for axes, title in zip(
            panels[0],
            ("image", "predicted classes", "predicted after the edit", "patches that changed"),
            strict=True,
        ):
            axes.set_title(title, fontsize=10)
        figure.suptitle(f"Editing one class's latent on every patch: {edit}", fontsize=11, x=0.01, ha="left")
        seen = sorted({int(c) for _, _, before, after in rows for c in (*before, *after)})
        figure.legend(
            handles=[Patch(color=palette[c], label=classes[c]) for c in seen],
            loc="outside lower center",
            ncols=8,
            fontsize=8,
        )
    return figure
