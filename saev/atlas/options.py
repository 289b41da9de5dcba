"""How much of a study the atlas shows."""

from dataclasses import dataclass
from typing import Annotated

from saev.checks import COUNT, Options, between
from saev.features.profiles import KEPT


@dataclass(frozen=True, kw_only=True)
class AtlasOptions(Options, section="atlas"):
    """Sizes of its parts."""

    exemplars: Annotated[int, between(1, KEPT)]
    """Images of a latent on which it is strongest, and as many over the whole range of its codes."""
    thumbnails: Annotated[int, between(16, 1024)]
    """Pixels of the longer side of an image."""
    images: Annotated[int, COUNT]
    """At most so many are stored of a split; of exemplars beyond, the weaker ones are left out."""
    browse: Annotated[int, between(0, 10**6)]
    """Validation images whose patches can be clicked."""
    permutations: Annotated[int, between(19, 10**6)]
    """Of label maps among images, that the name of a latent must beat."""
