"""Small data sets as people have them: images of many sizes, shapes and colour modes, sorted by class, with a
dominant background, classes that one split lacks, and names that break things."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDES = (70, 201)
"""Sides are drawn between these."""
MODES = ("RGB", "L", "RGBA", "P", "CMYK", "1", "I;16")
NAMES = ("$x_$", "[red]cat", "<b>bold</b>", "日本語", "a b")
"""Of the first classes."""


def class_names(n: int) -> list[str]:
    return [*NAMES, *(f"class {i:03d}" for i in range(n))][:n]


def texture(rng: np.random.Generator, c: int, h: int, w: int) -> np.ndarray:
    """(h, w, 3) uint8: stripes whose direction, period and colour are those of class c, with noise."""
    own = np.random.default_rng(c)
    angle, period, colours = own.uniform(0, np.pi), own.uniform(5, 24), own.uniform(0, 255, (2, 3))
    y, x = np.mgrid[:h, :w]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 6))
    share = (wave[..., None] + 1) / 2
    return np.clip(
        colours[0] * share + colours[1] * (1 - share) + rng.normal(0, 12, (h, w, 1)), 0, 255
    ).astype(np.uint8)


def save(pixels: np.ndarray, path: Path, mode: str) -> None:
    """Write in a colour mode, as a file of a kind that has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257).save(path.with_suffix(".png"))
    elif mode in ("CMYK", "L", "RGB"):
        image.convert(mode).save(path.with_suffix(".jpg"), quality=92)
    else:
        image.convert(mode).save(path.with_suffix(".png"))


def sides(rng: np.random.Generator, scale: float) -> tuple[int, int]:
    low, high = (round(scale * side) for side in SIDES)
    return int(rng.integers(low, high)), int(rng.integers(low, high))


def ade20k(root: Path, n: dict[str, int], *, n_classes: int = 28, scale: float = 1.0, seed: int = 0) -> Path:
    """The layout of ADE20K: 0 is a background that covers most; each image shows up to three other classes.
    Images lie in the order of their first class; the last class is in training only."""
    rng = np.random.default_rng(seed)
    rows = [f"{i + 1}\t0.1\t1\t1\t{name}" for i, name in enumerate(class_names(n_classes))]
    root.mkdir(parents=True)
    (root / "objectInfo150.txt").write_text(
        "\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]), encoding="utf-8"
    )
    for split, n_images in n.items():
        reach = n_classes if split == "training" else n_classes - 1
        for i in range(n_images):
            h, w = sides(rng, scale)
            pixels, mask = texture(rng, 1000, h, w), np.zeros((h, w), np.uint8)
            for c in (i * reach // n_images, *rng.integers(0, reach, rng.integers(0, 3))):
                y, x = rng.integers(0, h // 2), rng.integers(0, w // 2)
                block = (slice(y, y + h // 2), slice(x, x + w // 2))
                pixels[block] = texture(rng, int(c), *mask[block].shape)
                mask[block] = c + 1
            save(pixels, root / "images" / split / f"{i:05d}", "L" if i % 7 == 3 else "RGB")
            target = root / "annotations" / split / f"{i:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(target)
    return root


def class_folders(
    root: Path, n: dict[str, int], *, n_classes: int = 26, scale: float = 1.0, seed: int = 0
) -> Path:
    """<root>/<split>/<class>/<image> in every colour mode; the last class has no validation image."""
    rng = np.random.default_rng(seed)
    for split, per_class in n.items():
        for c, name in enumerate(class_names(n_classes)):
            for i in range(per_class):
                if split == "val" and c == n_classes - 1:
                    break
                mode = MODES[(c + i) % len(MODES)]
                save(texture(rng, c, *sides(rng, scale)), root / split / name / str(i), mode)
    return root


def flat(root: Path, n: dict[str, int], *, scale: float = 1.0, seed: int = 0) -> Path:
    """<root>/<split>/<image>, unlabelled."""
    rng = np.random.default_rng(seed)
    for split, n_images in n.items():
        for i in range(n_images):
            save(texture(rng, i % 9, *sides(rng, scale)), root / split / f"{i:04d}", MODES[i % len(MODES)])
    return root
