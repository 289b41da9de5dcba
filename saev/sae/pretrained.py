"""An SAE that somebody has trained, in the place of one to be trained: where it is, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from saev.checks import Options, at_least
from saev.errors import SaevError
from saev.sae.formats.checkpoint import load_sae
from saev.sae.formats.dictionary_learning import load_dictionary_learning
from saev.sae.formats.osunlp import load_osunlp
from saev.sae.formats.sae_lens import load_sae_lens
from saev.sae.formats.sparsify import load_sparsify
from saev.sae.formats.visaebench import load_visaebench
from saev.sae.model import SAE

if TYPE_CHECKING:  # stores come with zarr, and an SAE by itself needs none
    from saev.activations import Tokens

MOST_VECTORS = 2**20
"""Tokens that the variance is measured on, as many as the store's own statistics take."""


class Normal(NamedTuple):
    """z = (x - mean) / scale, which an SAE was trained on."""

    mean: Tensor | float
    """(d,), or a number."""
    scale: float


RAW = Normal(0.0, 1.0)
Reader = Callable[[str, Normal, float | None], SAE]
"""From (path or address, normalisation, threshold, or None for that of the file)."""

# What a state dict of overcomplete does not say (its class, its k) this does not ask for either: read it with
# `load_overcomplete`, save it with `save_sae`, and name that folder.
FORMATS: dict[str, Reader] = {
    "saev": lambda source, normal, threshold: load_sae(source),
    "osunlp": lambda source, normal, threshold: load_osunlp(
        source, mean=normal.mean, scale=normal.scale, threshold=threshold
    ),
    "visaebench": lambda source, normal, threshold: load_visaebench(
        source, mean=normal.mean, scale=normal.scale, threshold=threshold
    ),
    "sae_lens": lambda source, normal, threshold: load_sae_lens(source),
    "sparsify": lambda source, normal, threshold: load_sparsify(source),
    "dictionary_learning": lambda source, normal, threshold: load_dictionary_learning(
        source, threshold=threshold
    ),
}
"""By whom it was written (docs/formats.md). Those that take no normalisation were trained on raw activations,
or bring their own."""
NORMALISED, THRESHOLDED = ("osunlp", "visaebench"), ("osunlp", "visaebench", "dictionary_learning")
"""Formats that lack a normalisation; that may lack a threshold."""


@dataclass(frozen=True, kw_only=True)
class Pretrained(Options, section="sae"):
    """Which one, and what it was trained on. It is saved like one that was trained here."""

    source: str | dict
    """A path, an address `hf://owner/name/folder@revision`, or {backbone of the grid: one of these}."""
    format: Literal["saev", "osunlp", "visaebench", "sae_lens", "sparsify", "dictionary_learning"]
    """By whom it was written."""
    inputs: Literal["raw", "norm", "variance"] = "raw"
    """What it was given: raw activations x, or z = (x - mean) / scale with the mean of the training tokens
    and, where the file does not hold the constants, a scale measured on them:

        norm        E||x - mean|| / sqrt(d)         as arXiv 2502.06755
        variance    sqrt(E||x - mean||^2 / d)       as ViSAEBench
    """
    threshold: Annotated[float, at_least(0)] | None = None
    """Of a BatchTopK whose file has none."""

    def __post_init__(self):
        super().__post_init__()
        for name, value in self.source.items() if isinstance(self.source, dict) else ():
            if not isinstance(value, str) or not value.strip():
                raise SaevError(f"sae.source.{name} must be a path or an address, got {value!r}")
        if self.inputs != "raw" and self.format not in NORMALISED:
            raise SaevError(
                f"sae.inputs must be raw where sae.format is {self.format}, which brings its normalisation "
                f"or had none, got {self.inputs!r}"
            )
        if self.threshold is not None and self.format not in THRESHOLDED:
            raise SaevError(
                f"sae.threshold is for the formats {', '.join(THRESHOLDED)}, got {self.threshold!r} "
                f"for {self.format}"
            )

    def of(self, backbone: str) -> str:
        """Where the one for a backbone lies.

        Raises:
            SaevError: `source` names others only.
        """
        if isinstance(self.source, str):
            return self.source
        if backbone not in self.source:
            raise SaevError(f"sae.source names none for {backbone}, but for {', '.join(self.source)}")
        return self.source[backbone]

    def load(self, tokens: "Tokens", backbone: str) -> SAE:
        """Read it, to be used on these training tokens and their like.

        The file of another library does not say which model, layer and tokens it is of. Only widths can be
        compared then, and the configuration is believed.

        Raises:
            SaevError: there is none, it is damaged, of another width or, if it is ours, of other activations.
        """
        source = self.of(backbone)
        normal = RAW if self.inputs == "raw" else measured(tokens, self.inputs)
        sae = FORMATS[self.format](source, normal, self.threshold)
        sae.check_tokens(tokens, source)
        sae.origin = sae.origin or tokens.origin
        return sae


def measured(tokens: "Tokens", inputs: Literal["norm", "variance"]) -> Normal:
    """The normalisation by the mean of the tokens and one of their two scales, which are those of
    `Pretrained.inputs`."""
    mean, scale = tokens.normalisation()
    if inputs == "variance":
        images = tokens.store.drawn(max(1, MOST_VECTORS // tokens.per_image), 0)
        squares, n = 0.0, 0
        for _, x_btd in tokens.chunks(images):
            centred = torch.from_numpy(x_btd).double().flatten(0, 1) - torch.from_numpy(mean)
            squares, n = squares + centred.square().sum().item(), n + len(centred)
        scale = (squares / n / tokens.d) ** 0.5
    return Normal(torch.from_numpy(mean).float(), scale)
