"""One's own images: a folder of class folders. ImageNet and iNat2021 unpack to the same layout."""

from pathlib import Path

from saev.data.decode import decode
from saev.data.sample import Sample
from saev.errors import SaevError
from saev.files import fingerprint

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


class ImageFolder:
    """Images under `root/<split>/<class>/**`, in sorted order; every pixel carries the class of its image.

    Args:
        root: directory that holds one directory per split.
        split: directory under `root`, for example `train` or `val`.

    Raises:
        SaevError: the directory is missing or holds no images.
    """

    def __init__(self, *, root: str, split: str):
        self.base = Path(root, split)
        if not self.base.is_dir():
            raise SaevError(f"{self.base}: no such directory; expected {root}/{split}/<class>/<image>")
        self.classes = tuple(
            sorted(p.name for p in self.base.iterdir() if p.is_dir() and not p.name.startswith("."))
        )
        self.files = [
            (path.relative_to(self.base).as_posix(), label)
            for label, name in enumerate(self.classes)
            for path in sorted((self.base / name).rglob("*"))
            if path.suffix.lower() in EXTENSIONS
        ]
        if not self.files:
            raise SaevError(f"{self.base}: no images in class folders; expected {self.base}/<class>/<image>")
        self.fingerprint = fingerprint(
            ["folder", 2, [[file, (self.base / file).stat().st_size] for file, _ in self.files]]
        )

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.base / self.files[i][0])

    def __getitem__(self, i: int) -> Sample:
        return Sample(decode(self.name(i), self.name(i)), self.files[i][1])
