"""The results of a study, read and checked."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from saev.errors import SaevError, first_line
from saev.files import read_json
from saev.report.records import SHAPES
from saev.report.shapes import filled, mismatch


class Results:
    """The results of a study in the folder `root`.

    Every method raises a SaevError of one line that names the file which is missing or damaged.
    """

    def __init__(self, root: str | Path = "."):
        self.root = Path(root)

    def read(self, stage: str, cell: str, file: str) -> Any:
        """A record of a stage about a cell, or about a store, of the shape that SHAPES gives it."""
        return read_record(self.root / "results" / stage / cell / file, stage)

    def picture(self, stage: str, cell: str, name: str) -> Path:
        """A picture (PNG or SVG) of a stage, which must be there and whole."""
        path = self.root / "results" / stage / cell / name
        try:
            if path.suffix == ".svg":
                ElementTree.parse(path)
            else:
                with Image.open(path) as image:
                    image.load()
        except FileNotFoundError:
            raise SaevError(f"{path}: not there; run the {stage} stage") from None
        except (OSError, SyntaxError, ValueError, LookupError) as error:  # a ParseError is a SyntaxError
            raise SaevError(f"{path}: damaged: {first_line(error)}; run the {stage} stage again") from None
        return path

    def pages(self, stage: str, cell: str, name: str) -> list[Path]:
        """The PNGs `<name>-1.png`, `<name>-2.png`, ... of a stage, in their order, with none missing."""
        there = len(list((self.root / "results" / stage / cell).glob(f"{name}-*.png")))
        return [self.picture(stage, cell, f"{name}-{page}.png") for page in range(1, there + 1)]


def read_record(path: Path, stage: str, shape: object = None) -> Any:
    """A record of a stage, of the shape given, or else of that which SHAPES gives a file of this name.

    Raises:
        SaevError: it is missing, or damaged.
    """
    value, shape = read_json(path, f"{stage} stage"), shape or SHAPES[stage, path.name]
    if fault := mismatch(value, shape):
        raise SaevError(f"{path}: {fault}; run the {stage} stage again")
    return filled(value, shape)
