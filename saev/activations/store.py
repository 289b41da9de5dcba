"""A store on the disk, and what it gives out."""

from collections.abc import Sequence

import numpy as np

from saev.activations.origin import agree, shortened
from saev.activations.reader import Reader
from saev.activations.tokens import Tokens
from saev.errors import SaevError


class Store(Reader):
    """The recorded activations of one split of a data set under one backbone, complete, read-only.

    Attributes and plain arrays are those of `Reader`; the layout is described in saev/activations/schema.py.
    """

    def tokens(self, layer: int, kinds: Sequence[str] = ("patch",)) -> Tokens:
        """The tokens of `kinds` after block `layer`; -1 is the backbone's last block.

        Raises:
            SaevError: a layer or a kind that is not recorded.
        """
        if isinstance(kinds, str) or not kinds or set(kinds) - set(self.spans):
            raise SaevError(f"{self.path}: tokens must name some of {list(self.spans)}, got {kinds!r}")
        return Tokens(self, self.layer(layer), tuple(kind for kind in self.spans if kind in kinds))

    def residual(self, layer: int, images: np.ndarray) -> np.ndarray:
        """Every token of the backbone for `images` (b,), (b, T, d): what `Backbone.suffix` continues from."""
        expected = tuple(self.attrs["backbone_tokens"])
        if absent := [kind for kind in expected if kind not in self.spans]:
            raise SaevError(
                f"{self.path}: the model cannot continue from it without the {absent} tokens; "
                "record it with tokens: null"
            )
        tokens = self.tokens(layer, expected)
        return tokens.at(np.asarray(images)[:, None], np.arange(tokens.per_image))

    def check_same_model(self, other: "Store") -> None:
        """Raise SaevError unless both hold the same layers, tokens and classes, recorded by one backbone."""
        mine, theirs = (store.origin(store.layers[0], tuple(store.spans)) for store in (self, other))
        agree(theirs, mine, str(other.path), str(self.path), but=("data",))
        for key in ("layers", "classes"):
            if self.attrs[key] != other.attrs[key]:
                raise SaevError(
                    f"{other.path}: {key} is {shortened(other.attrs[key])}, "
                    f"but {self.path} has {shortened(self.attrs[key])}"
                )
