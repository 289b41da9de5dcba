"""A finding of the laboratory, written down as a hypothesis that the pipeline then tests on other images."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml

from saev.checks import COUNT, Options, above, at_least, between, check_choice
from saev.errors import SaevError
from saev.files import write_text
from saev.intervention.controls import CONTROLS
from saev.intervention.edits import EDITS
from saev.intervention.places import PLACES

HEAD = "# Seen on one image, in the laboratory: what follows is a claim, to be tested on others.\n"


@dataclass(frozen=True, kw_only=True)
class Found(Options, section="hypothesis"):
    """What was seen on one image, claimed of all; the rest of what a hypothesis needs has one sense here."""

    name: str
    """Of the file."""
    claim: str
    """In words."""
    concept: str
    """The class whose answers should change."""
    latents: tuple[Annotated[int, at_least(0)], ...]
    edit: str
    """One of EDITS."""
    place: str
    """One of PLACES, which mean the same on every image; patches that were chosen by hand do not."""
    strength: Annotated[float, between(-10, 10)]
    control: str = "random latent"
    """One of CONTROLS."""
    direction: Literal["up", "down", "changes"] = "up"
    """Whether more answers change than under the control."""
    smallest: Annotated[float, between(0, 0.99)] = 0.1
    """The smallest difference in the share of changed answers that counts."""
    margin: Annotated[float, above(0, up_to=0.99)] | None = 0.05
    """What the share of all others that change must stay below; null: nothing is claimed of them."""
    draws: Annotated[int, between(1, 1000)] = 5
    images: Annotated[int, COUNT] = 96

    def __post_init__(self):
        super().__post_init__()
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", self.name):
            raise SaevError(
                f"hypothesis.name must be 1 to 60 small letters, digits and hyphens, got {self.name[:80]!r}"
            )
        if len(self.claim) > 1000:
            raise SaevError(f"hypothesis.claim must have at most 1000 characters, got {len(self.claim)}")
        for key, table in (("edit", EDITS), ("place", PLACES), ("control", CONTROLS)):
            check_choice(f"hypothesis.{key}", getattr(self, key), tuple(table))
        if not self.latents or len(set(self.latents)) < len(self.latents):
            raise SaevError(f"hypothesis.latents must be different ones, got {list(self.latents)}")


def write_hypothesis(found: Found, cell: str, folder: str | Path) -> Path:
    """Write `<name>.yaml` into the folder, and return its path.

    Raises:
        SaevError: there is one of this name: a registration is never written over.
    """
    file = Path(folder) / f"{found.name}.yaml"
    if file.exists():
        raise SaevError(f"{file}: there is a hypothesis of this name; choose another")
    told = asdict(found) | {"latents": sorted(found.latents)}
    told["strength"] = 0.0 if found.edit == "ablate" else float(found.strength)
    fixed = {"kind": "exploratory", "cell": cell, "task": "classes", "measure": "changed", "split": "val"}
    told |= fixed | {"independent": "clusters"}
    order = (
        "claim kind cell task concept latents edit place strength control draws measure direction smallest"
    )
    record = {key: told[key] for key in (*order.split(), "margin", "split", "images", "independent")}
    write_text(file, HEAD + yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=100))
    return file
