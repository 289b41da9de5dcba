"""One's own images: a folder of class folders."""

from pathlib import Path

import numpy as np
from PIL import Image

from saev.data.sample import Sample
from saev.errors import SaevError
from saev.files import fingerprint

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


class ImageFolder:
    """Images under `root/<split>/<class>/**`, in sorted order.

    Every pixel carries the class of its image: labels as weak as that is, they let
    probes and interventions run on images without segmentations.

    Args:
        root: directory that holds one directory per split.
        split: directory under `root`, for example `train` or `val`.

    Raises:
        SaevError: the directory is missing or holds no images; an image cannot be decoded.
    """

    def __init__(self, *, root: str, split: str):
        base = Path(root, split)
        if not base.is_dir():
            raise SaevError(f"{base}: no such directory; expected {root}/{split}/<class>/<image>")
        self.classes = tuple(sorted(p.name for p in base.iterdir() if p.is_dir()))
        if len(self.classes) > 255:
            raise SaevError(f"{base}: {len(self.classes)} classes, at most 255 fit the patch labels")
        self.files = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in sorted((base / name).rglob("*"))
            if path.suffix.lower() in EXTENSIONS
        ]
        if not self.files:
            raise SaevError(f"{base}: no images in class folders; expected {base}/<class>/<image>")
        listing = [[path.relative_to(base).as_posix(), path.stat().st_size] for path, _ in self.files]
        self.fingerprint = fingerprint(["folder", 1, listing])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Sample:
        path, label = self.files[i]
        try:
            with Image.open(path) as file:
                image = np.asarray(file.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:  # PIL raises all three on broken files
            raise SaevError(f"{path}: cannot be decoded as an image ({error})") from None
        return Sample(image, label, np.full(image.shape[:2], label, np.uint8))
