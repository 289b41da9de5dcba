"""A study in the laboratory: its cells, each opened when it is asked for, and what is written of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from saev.app.bench import Bench
from saev.app.hypothesis import Found, write_hypothesis
from saev.app.kept import Cache, Uploads
from saev.app.notes import read_notes, write_note
from saev.app.uploads import check_upload
from saev.errors import SaevError

CELLS = 4
"""So many are open at once."""

Opener = Callable[[Uploads], Bench]


class Session:
    """The cells of a study, by name, and the folder that it lies in.

    Args:
        openers: opens a cell, whose uploads are those of the session.
        folder: of the study: hypotheses go to its conf/hypothesis, notes to its notes.
    """

    def __init__(self, openers: Mapping[str, Opener], folder: str | Path = "."):
        self.openers, self.folder, self.uploads = dict(openers), Path(folder), Uploads()
        self._open: Cache[Bench] = Cache(CELLS)

    @property
    def cells(self) -> list[str]:
        return list(self.openers)

    def bench(self, cell: str) -> Bench:
        """The cell, opened. Raises SaevError if the study has none of this name, or it is not finished."""
        self._check(cell)
        return self._open.get(cell, lambda: self.openers[cell](self.uploads))

    def upload(self, data: bytes) -> str:
        """Keep an image file, and return its address. Raises SaevError if it is none, or too large."""
        check_upload(data)
        return self.uploads.add(data)

    def notes(self, cell: str) -> dict[int, str]:
        """What was noted of latents of a cell."""
        return read_notes(self._notes(cell))

    def note(self, cell: str, latent: int, text: str) -> Path:
        """Set the note of a latent, and return the file. Raises SaevError if there is none such."""
        self.bench(cell).check_latent(latent)
        write_note(self._notes(cell), latent, text)
        return self._notes(cell)

    def hypothesis(self, cell: str, found: Found) -> Path:
        """Write a hypothesis, and return its file. Raises SaevError for what the cell has not."""
        bench = self.bench(cell)
        for latent in found.latents:
            bench.check_latent(latent)
        if bench.task is None or found.concept not in bench.task.classes:
            raise SaevError(f"hypothesis.concept must be a class of the task, got {found.concept[:80]!r}")
        return write_hypothesis(found, cell, self.folder / "conf" / "hypothesis")

    def _notes(self, cell: str) -> Path:
        self._check(cell)
        return self.folder / "notes" / f"{cell}.yaml"

    def _check(self, cell: str) -> None:
        if cell not in self.openers:
            raise SaevError(f"cell must be one of {', '.join(self.openers)}, got {cell[:80]!r}")
