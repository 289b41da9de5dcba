"""One's own images: a folder of class folders (ImageNet and iNat2021 unpack to that), or just a folder."""

from collections.abc import Container
from pathlib import Path

from saev.data.decode import decode
from saev.data.listing import EXTENSIONS, File, files_below, is_hidden, is_image
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError
from saev.files import fingerprint


class ImageFolder:
    """Images under `root/<split>/<class>/**`, or unlabelled images right in `root/<split>/`.

    In class folders every pixel carries the class of its image. The classes are the class folders of all
    splits under `root`, sorted, so a split may lack some; the order is that of torchvision's ImageFolder.
    Hidden files and folders and `__MACOSX` are left out, linked folders entered.

    Args:
        root: directory that holds one directory per split.
        split: directory under `root`, for example `train` or `val`.

    Raises:
        SaevError: the directory is missing or holds no images, a class folder holds files but no image, or
            images lie beside class folders.
    """

    def __init__(self, *, root: str, split: str):
        self.base = Path(root, split)
        if not self.base.is_dir():
            raise SaevError(f"{self.base}: no such directory; {_expected(f'{root}/{split}')}")
        images, others = _by_class(self.base)
        if loose := images.pop("", []):
            if images:
                raise SaevError(
                    f"{self.base}: has both images ({loose[0].name}) and folders of images ({min(images)}/); "
                    "put every image into a class folder, or all of them right here"
                )
            images, self.classes = {"": loose}, ()
        else:
            _check_class_folders(self.base, others, images)
            self.classes = tuple(sorted(_classes_of_root(Path(root), self.base)))
        if not images:
            raise SaevError(f"{self.base}: no images; {_expected(self.base)}")
        index = {name: label for label, name in enumerate(self.classes)}
        self.files = [
            (file.name, index.get(name, IGNORE)) for name in sorted(images) for file in images[name]
        ]
        self.fingerprint = fingerprint(["folder", 3, self.classes, sorted(images.items())])

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return str(self.base / self.files[i][0])

    def __getitem__(self, i: int) -> Sample:
        return Sample(decode(self.name(i), self.name(i)), self.files[i][1])


def _by_class(base: Path) -> tuple[dict[str, list[File]], dict[str, str]]:
    """The images of every class folder, and the first other file there; '' are those in no folder."""
    images: dict[str, list[File]] = {}
    others: dict[str, str] = {}
    for file in files_below(base):
        folder, slash, name = file.name.partition("/")
        of = folder if slash else ""
        if is_image(file.name):
            images.setdefault(of, []).append(file)
        else:
            others[of] = min(name, others.get(of, name))
    for files in images.values():
        files.sort(key=lambda file: file.name.rpartition("/"))  # directory by directory, as torchvision
    return images, others


def _expected(base: str | Path) -> str:
    return f"expected {base}/<class>/<image>, or {base}/<image> without labels"


def _classes_of_root(root: Path, base: Path) -> set[str]:
    """The class folders of the split and of those beside it, also the empty ones."""
    splits = [base]
    if base != root and base.parent == root:
        splits += [path for path in _folders(root) if path != base and _has_class_folders(path)]
    return {folder.name for split in splits for folder in _folders(split)}


def _folders(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir() and not is_hidden(path.name)]


def _has_class_folders(directory: Path) -> bool:
    """Whether images lie in the folders there and none beside them."""
    try:
        # What lies right there comes first.
        first = next((file for file in files_below(directory) if is_image(file.name)), None)
    except SaevError:  # somebody else's, lost+found for example
        return False
    return first is not None and "/" in first.name


def _check_class_folders(base: Path, others: dict[str, str], images: Container[str]) -> None:
    """Raise SaevError if a folder holds files but no image, which no user means."""
    for name in sorted(others.keys() - {""}):
        if name not in images:
            raise SaevError(
                f"{base / name}: a class folder without an image, but with other files ({others[name]}); "
                f"images end in {', '.join(sorted(EXTENSIONS))}"
            )
